"""Reproducible costs of a model: operators, multiply-adds, and bytes in use."""

import logging
import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.analysis import FlopAnalyzer
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

# Operators that launch nothing: they reserve memory, are views by another name, or are for profilers.
IDLE = {
    *('empty', 'empty_like', 'empty_strided', 'new_empty', 'new_empty_strided'),
    *('_unsafe_view', 'promote_types', 'result_type', '_record_function_enter_new', '_record_function_exit'),
}


class Operators(TorchDispatchMode):
    """Record the operators that run in a context: ``with Operators() as operators: ...``, then ``operators.names``.

    On a GPU each of them launches something. Views and reserved memory are not recorded, since they do not.
    """

    def __init__(self):
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        aliases = [result.alias_info for result in function._schema.returns]
        name = function.overloadpacket.__name__
        if name not in IDLE and not any(alias is not None and not alias.is_write for alias in aliases):
            self.note(name)
        return function(*args, **(kwargs or {}))

    def note(self, name: str) -> None:
        self.names.append(name)


@contextmanager
def countable() -> Iterator[None]:
    """Make all operations visible to mmengine's ``FlopAnalyzer``, and silence its list of operators not counted."""
    disabled = logging.root.manager.disable
    mha: Any = getattr(torch.backends, 'mha', None)  # its fast path is one fused operation, which is not counted
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
    """Return the multiply-adds for one image in evaluation mode, in units of 1e9."""
    modes = {module: module.training for module in model.modules()}
    try:
        with countable():
            return FlopAnalyzer(model.eval(), x[:1]).total() / 1e9
    finally:
        for module, training in modes.items():
            module.training = training


def saved_bytes(model: nn.Module, x: Tensor) -> int:
    """Return the bytes that a forward pass keeps for the backward pass, without parameters."""
    parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept = {}

    def keep(tensor: Tensor) -> Tensor:
        tensor = tensor.detach()  # with its graph an output would hold the operation that holds it, for ever
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)  # the reference keeps the address from being reused
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = model(x)
    del out
    return sum(size for size, _ in kept.values())


def peak_bytes(run: Callable[[], object], device: str) -> int:
    """Return the peak of the bytes in use during a run, minus those in use before it."""
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
