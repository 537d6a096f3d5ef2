"""Networks on GPUs as CUDA graphs: one launch instead of one for each operation, 434 to 1,544 for an image.

A graph runs the kernels that the network would run, so its values are the same. PyTorch's documentation of
``torch.cuda.CUDAGraph`` lists what may be captured.
"""

import logging
from collections.abc import Callable, Hashable
from contextlib import ExitStack
from threading import Lock
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from torch import Tensor, nn

from ..ops.made_once import held
from ..ops.tracing import is_traced

MOST_GRAPHS = 8  # each keeps the features of its network
WARM_UPS = 2  # libraries make their workspaces in the first run

Function = Callable[[Tensor], tuple[Tensor, ...]]


class Memory(NamedTuple):
    """What the graphs of a network share: what one leaves there is copied before another runs."""

    stream: Any
    pool: Any

    @classmethod
    def on(cls, device: torch.device) -> 'Memory':
        with torch.cuda.device(device):
            return cls(torch.cuda.Stream(), torch.cuda.graph_pool_handle())


class CudaGraphs:
    """Runs a network, which is captured when a shape of its input comes for the second time.

    Another shape, a batch on a CPU, and whatever autograd or a compiler records run as they are. So does everything
    after a capture that failed.

    A graph reads the weights where they were when it was captured. In-place changes are seen. Whoever gives a network
    other weights gives it other graphs as well, by a copy of this object, which has none.

    Args:
        most: Number of shapes that are captured.
    """

    def __init__(self, most: int = MOST_GRAPHS):
        self.most = most
        self.seen: set[Hashable] = set()
        self.graphs: dict[Hashable, Function] = {}
        self.failed = False
        self.lock = Lock()
        self.memory: Memory | None = None

    def __reduce__(self) -> tuple:
        return CudaGraphs, (self.most,)

    def __call__(self, network: Function, x: Tensor, settings: Hashable = None) -> tuple[Tensor, ...]:
        """Return ``network(x)``, which later calls do not overwrite.

        Args:
            network: Maps a tensor to tensors by operations on its device only, without reading their values.
            x: The input.
            settings: What else the operations depend on.
        """
        if not x.is_cuda or torch.is_grad_enabled() or is_traced():
            return network(x)
        key = (x.shape, x.dtype, x.device, torch.is_autocast_enabled(), autocast_dtype(), settings)
        with self.lock:
            if key not in self.graphs and not self.failed:
                if key in self.seen and len(self.graphs) < self.most:
                    self._try_to_capture(key, network, x)
                self.seen.add(key)
            if key in self.graphs:
                return self.graphs[key](x)
        return network(x)

    def _try_to_capture(self, key: Hashable, network: Function, x: Tensor) -> None:
        try:
            self.memory = self.memory or Memory.on(x.device)
            self.graphs[key] = capture(network, x, self.memory)
        except RuntimeError as error:
            self.failed = True
            reason = str(error).partition('\n')[0]
            print_log(f'Predicting without CUDA graphs: {reason}', 'current', logging.WARNING)


def capture(network: Function, x: Tensor, memory: Memory) -> Function:
    """Capture a network for tensors like ``x``; raises RuntimeError if an operation cannot be captured."""
    stream, pool = memory
    caches = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)  # the graph would read weights that autocast has freed
    try:
        with ExitStack() as contexts:
            contexts.enter_context(torch.cuda.device(x.device))
            # a capture that fails leaves another current stream, which this context sets back
            contexts.enter_context(torch.cuda.stream(torch.cuda.current_stream()))
            contexts.enter_context(torch.inference_mode(False))
            contexts.enter_context(torch.no_grad())
            constants = contexts.enter_context(held())
            given = x.clone()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(WARM_UPS):
                    network(given)
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            # threads that pin the memory of batches may go on
            with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode='thread_local'):
                results = network(given)
    finally:
        torch.set_autocast_cache_enabled(caches)

    def replay(x: Tensor) -> tuple[Tensor, ...]:
        given.copy_(x)
        graph.replay()
        return tuple(result.clone() for result in results)

    replay.constants = constants  # type: ignore[attr-defined] # the graph reads them
    return replay


def autocast_dtype() -> torch.dtype:
    if hasattr(torch, 'get_autocast_dtype'):
        return torch.get_autocast_dtype('cuda')
    return torch.get_autocast_gpu_dtype()  # torch 2.1


def use_cuda_graphs(model: nn.Module, cfg: Config) -> None:
    """Let detectors on a GPU that say they can (``is_capturable``) predict by CUDA graphs.

    ``cuda_graphs = False`` in the config says no.
    """
    if not cfg.get('cuda_graphs', True):
        return
    for module in model.modules():
        detector: Any = module
        if getattr(detector, 'is_capturable', False) and next(module.parameters()).is_cuda:
            detector.cuda_graphs = CudaGraphs()
