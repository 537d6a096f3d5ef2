"""Networks on GPUs as CUDA graphs: one launch instead of one for each operation, about 1,500 for an image.

A graph runs the kernels that the network would run, so its values are the same. PyTorch's documentation of
``torch.cuda.CUDAGraph`` lists what may be captured.
"""

import logging
from collections.abc import Callable
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from torch import Tensor, nn

from ..ops.made_once import held

MOST_GRAPHS = 8  # each keeps the features of its network
WARM_UPS = 2  # libraries make their workspaces in the first run


class CudaGraphs:
    """A function of a tensor, which is captured when a shape comes for the second time.

    Another shape, a batch on a CPU, and whatever autograd records run as they are. So does everything after a capture
    that failed.

    Args:
        function: Maps a tensor to tensors by operations on its device only, without reading their values.
        most: Number of shapes that are captured.
    """

    def __init__(self, function: Callable[[Tensor], tuple[Tensor, ...]], most: int = MOST_GRAPHS):
        self.function, self.most = function, most
        self.seen: set[tuple] = set()
        self.graphs: dict[tuple, Callable[[Tensor], tuple[Tensor, ...]]] = {}
        self.pool: Any = None
        self.failed = False

    def __call__(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the function's results for ``x``; they are not overwritten by later calls."""
        if not x.is_cuda or torch.is_grad_enabled() or self.failed:
            return self.function(x)
        key = (x.shape, x.dtype, x.device, torch.is_autocast_enabled(), autocast_dtype())
        if key not in self.graphs:
            if key not in self.seen or len(self.graphs) >= self.most:
                self.seen.add(key)
                return self.function(x)
            try:
                self.pool = self.pool or torch.cuda.graph_pool_handle()
                self.graphs[key] = capture(self.function, x, self.pool)
            except RuntimeError as error:
                self.failed = True
                reason = str(error).partition('\n')[0]
                print_log(
                    f'Predicts without CUDA graphs, as cuda_graphs=False does: {reason}', 'current', logging.WARNING
                )
                return self.function(x)
        return self.graphs[key](x)


def capture(
    function: Callable[[Tensor], tuple[Tensor, ...]], x: Tensor, pool: Any
) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """Capture a function for tensors like ``x``.

    Graphs of one pool share memory: what one leaves there is copied before another runs.

    Raises:
        RuntimeError: If an operation cannot be captured.
    """
    caches = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)  # the graph would read weights that autocast has freed
    try:
        with torch.cuda.device(x.device), torch.inference_mode(False), torch.no_grad(), held() as constants:
            given = x.clone()
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(WARM_UPS):
                    function(given)
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            # threads that pin the memory of batches may go on
            with torch.cuda.graph(graph, pool=pool, capture_error_mode='thread_local'):
                results = function(given)
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
    """Let detectors on a GPU that say how, by ``cuda_graphs``, predict by CUDA graphs, unless the config says no.

    Args:
        model: A model; it may be wrapped.
        cfg: Its config, of which ``cuda_graphs = False`` says no.
    """
    if not cfg.get('cuda_graphs', True):
        return
    for module in model.modules():
        detector: Any = module
        if hasattr(detector, 'cuda_graphs') and next(module.parameters()).is_cuda:
            detector.cuda_graphs = CudaGraphs(detector._forward)
