"""What the machine can do at most: multiply-adds a second of large matrix products by the libraries at hand."""

from collections.abc import Callable

import torch

from ..errors import InputError
from .timing import timed


def peak(device: str, dtype: str) -> float:
    """Return the multiply-adds a second of the fastest library, in units of 1e9.

    Args:
        device: As of ``torch.device``.
        dtype: ``'float32'``, ``'float16'``, ``'bfloat16'``, or ``'int8'`` (CPU only).

    Raises:
        InputError: If no library at hand computes in it.
    """
    size, count = (8192, 8) if device.startswith('cuda') else (2048, 4)
    runs: list[Callable[[], object]] = []
    if dtype != 'int8':
        a = torch.randn(size, size, device=device, dtype=getattr(torch, dtype))
        runs.append(lambda: a @ a)  # MKL, oneDNN or cuBLAS
    if device == 'cpu' and dtype != 'float16':
        runs += _openvino(size, dtype)
    if not runs:
        raise InputError(f'{dtype} on {device}: openvino is not installed: pip install openvino')
    return size**3 / min(timed(run, device) for run in runs for _ in range(count)) / 1e6


def _openvino(size: int, dtype: str) -> list[Callable[[], object]]:
    try:
        import openvino
        from openvino import opset13 as ops
    except ImportError:
        return []
    import numpy as np

    weight = np.random.default_rng(0).standard_normal((size, size)).clip(-3, 3).astype(np.float32)
    x = ops.parameter([size, size], np.float32)
    a, b = x, ops.constant(weight)
    if dtype == 'int8':
        low, high = np.float32(-3), np.float32(3)
        a, b = ops.fake_quantize(a, low, high, low, high, 256), ops.fake_quantize(b, low, high, low, high, 255)
    model = openvino.Model([ops.matmul(a, b, False, True)], [x])
    hint = 'bf16' if dtype == 'bfloat16' else 'f32'
    options = {'INFERENCE_PRECISION_HINT': hint, 'INFERENCE_NUM_THREADS': torch.get_num_threads(), 'NUM_STREAMS': 1}
    request = openvino.Core().compile_model(model, 'CPU', options).create_infer_request()
    request.set_input_tensor(openvino.Tensor(weight))
    return [request.infer]
