"""What a model costs, in figures that are the same in each run."""

import logging
import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.analysis import FlopAnalyzer
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode


class Operators(TorchDispatchMode):
    """Names of the operators that compute within this context: ``with Operators() as operators: ...; operators.names``.

    Views, which only look at the same memory in another way, are left out.
    """

    def __init__(self):
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        aliases = [result.alias_info for result in function._schema.returns]
        if not any(alias is not None and not alias.is_write for alias in aliases):
            self.names.append(function.overloadpacket.__name__)
        return function(*args, **(kwargs or {}))


@contextmanager
def countable() -> Iterator[None]:
    """Without what hides operations from mmengine's count, and without its list of those that it leaves out."""
    disabled = logging.root.manager.disable
    mha: Any = getattr(torch.backends, 'mha', None)  # its fast path is one operation, of which the count knows nothing
    fast = mha is not None and mha.get_fastpath_enabled()
    logging.disable(logging.WARNING)
    if fast:
        mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad():
            yield
    finally:
        logging.disable(disabled)
        if fast:
            mha.set_fastpath_enabled(True)


def multiply_adds(model: nn.Module, x: Tensor) -> float:
    """Of one image, in units of 1e9, in evaluation."""
    modes = {module: module.training for module in model.modules()}
    try:
        with countable():
            return FlopAnalyzer(model.eval(), x[:1]).total() / 1e9
    finally:
        for module, training in modes.items():
            module.training = training


def saved_bytes(model: nn.Module, x: Tensor) -> int:
    """Bytes that a forward pass keeps for the backward pass, parameters not counted."""
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)  # held, or its address may be used again
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = model(x)
    del out
    return sum(size for size, _ in kept.values())


def peak_bytes(run: Callable[[], object], device: str) -> int:
    """Most bytes in use at once during a run, beyond what was in use before."""
    if device.startswith('cuda'):
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        return torch.cuda.max_memory_allocated() - before
    with torch.profiler.profile(profile_memory=True) as profile:
        run()
    changes = [event for event in profile.profiler.kineto_results.events() if event.name() == '[memory]']
    used = most = 0
    start = operator.methodcaller('start_ns' if changes and hasattr(changes[0], 'start_ns') else 'start_us')
    for event in sorted(changes, key=start):
        used += event.nbytes()
        most = max(most, used)
    return most
