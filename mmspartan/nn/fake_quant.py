"""Simulated quantization of convolutions and linear layers, for training that is aware of it (Jacob et al., CVPR 2018).

Inputs and weights are rounded as in the INT8 files of :mod:`mmspartan.deploy.quantization`: inputs to 256 steps of a
range for each tensor, which contains 0, weights to symmetric integers with a scale for each output channel; everything
else stays in floating point. Gradients pass as if nothing was rounded. The fake quantization is torch's own. NNCF and
torchao place theirs by patterns of a traced graph, which are not those of the files.
"""

import re
from collections.abc import Callable
from typing import Any

import torch
from mmcv.cnn.bricks import wrappers
from torch import Tensor, nn
from torch.ao.quantization import FusedMovingAvgObsFakeQuantize, MovingAverageMinMaxObserver
from torch.nn.functional import linear
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from ..errors import InputError
from .fold import changed_copy

# Predictions and sampled points stay in floating point: positions need more than 8 bits.
KEPT = r'head|sampling_offsets'
BUFFERS = re.compile(r'(^|\.)input_quantizer\.')  # names of what quantizers add to a state dict


class FakeQuantConv2d(nn.Conv2d):
    """Convolution of rounded inputs by rounded weights."""

    input_quantizer: Any
    weight_bits: int
    is_rounded: bool

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(*rounded(self, x), self.bias)


class FakeQuantLinear(nn.Linear):
    """Linear layer of rounded inputs and weights."""

    input_quantizer: Any
    weight_bits: int
    is_rounded: bool

    def forward(self, x: Tensor) -> Tensor:
        return linear(*rounded(self, x), self.bias)


def rounded(layer: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the input and the weight of a layer, rounded; fake quantization is for float32."""
    x, weight = layer.input_quantizer(x.float()).to(x.dtype), layer.weight
    return x, round_weight(weight.float(), layer.weight_bits).to(weight.dtype) if layer.is_rounded else weight


def round_weight(weight: Tensor, bits: int) -> Tensor:
    """Round weights ``(O, ...)`` to symmetric integers of that many bits, with a scale for each output channel."""
    limit = 2 ** (bits - 1) - 1
    scale = weight.detach().flatten(1).abs().amax(1).clamp(min=1e-12) / limit
    # with a zero point of integers, CUDA would compare them on the host
    return torch.fake_quantize_per_channel_affine(weight, scale, torch.zeros_like(scale), 0, -limit, limit)


def insert_quantizers(model: nn.Module, bits: Callable[[str], int]) -> int:
    """Replace convolutions and linear layers by those of rounded inputs and weights, in place.

    The parameters are the same objects under the same names. Projections within ``nn.MultiheadAttention`` stay in
    floating point.

    Args:
        model (nn.Module): Folded for inference, so that the weights are those of the exported file.
        bits (Callable): Gives the bits of the weights of a module by its name, 2 to 8; 0 leaves it as it is.

    Returns:
        int: The number of modules that are quantized.
    """
    replaced: dict[nn.Module, nn.Module] = {}
    for name, module in [*model.named_modules(remove_duplicate=False)]:
        for part, child in module.named_children():
            kind = _quantized(child)
            width = bits(f'{name}.{part}'.lstrip('.')) if kind else 0
            if width:
                if child not in replaced:
                    replaced[child] = _with_quantizers(child, kind, width)
                setattr(module, part, replaced[child])
        if hasattr(module, 'is_deployed'):
            module.is_fake_quantized = True  # so that it may be trained though it is folded
    return len(replaced)


def bits_of(weight_bits: int = 8, keep: str = '', keep_8bit: str = '') -> Callable[[str], int]:
    """Return the bits of the weights by names of modules.

    Args:
        weight_bits (int): Of all others, 2 to 8.
        keep (str): Regular expression of the names of those that stay in floating point besides :data:`KEPT`.
        keep_8bit (str): Of those with 8 bits.

    Raises:
        InputError: If a regular expression is none.
    """
    patterns = {}
    for option, pattern in dict(keep=keep, keep_8bit=keep_8bit).items():
        try:
            patterns[option] = re.compile(pattern or r'(?!)')
        except re.error as error:
            raise InputError(f'{option}={pattern!r}: is no regular expression ({error})') from error

    def bits(name: str) -> int:
        if re.search(KEPT, name) or patterns['keep'].search(name):
            return 0
        return 8 if patterns['keep_8bit'].search(name) else weight_bits

    return bits


def observe(model: nn.Module, enabled: bool) -> None:
    """Let the ranges of the inputs follow what passes, while nothing is rounded, or keep them and round."""
    for module in model.modules():
        if isinstance(module, FakeQuantConv2d | FakeQuantLinear):
            module.is_rounded = not enabled
            module.input_quantizer.enable_observer(enabled)
            module.input_quantizer.enable_fake_quant(not enabled)


def pop_quantizers(state: dict[str, Any]) -> dict[str, Any]:
    """Take the ranges of inputs out of a state dict, which then fits the model without quantizers."""
    return {name: state.pop(name) for name in [*filter(BUFFERS.search, state)]}


def _quantized(module: nn.Module) -> type | None:
    if isinstance(module, NonDynamicallyQuantizableLinear):  # whose weights nn.MultiheadAttention reads
        return None
    kinds: dict[Any, type] = {nn.Conv2d: FakeQuantConv2d, nn.Linear: FakeQuantLinear}
    # mmcv's classes differ from torch's for empty tensors before torch 1.5; others may compute something else
    plain: Any = {wrappers.Conv2d: nn.Conv2d, wrappers.Linear: nn.Linear}.get(type(module), type(module))
    return next((new for old, new in kinds.items() if plain.forward is old.forward), None)


def _with_quantizers(module: Any, kind: Any, width: int) -> nn.Module:
    quantized: Any = changed_copy(module)
    quantized.__class__ = kind
    quantized.weight_bits, quantized.is_rounded = width, True
    quantized.input_quantizer = FusedMovingAvgObsFakeQuantize(
        MovingAverageMinMaxObserver, quant_min=0, quant_max=255, dtype=torch.quint8, averaging_constant=0.01
    ).to(module.weight.device)
    return quantized
