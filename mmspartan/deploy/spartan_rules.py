"""Rules that fold SpaRTAN: batch normalization, complex weights, LayerScale and feature decomposition."""

from typing import Any

from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..nn.conv_norm_act import ConvNormAct
from ..nn.fold import changed_copy, constant, conv_of, rule
from ..ops.modulated_conv import modulated_weight
from ..spartan.backbone import SpaRTAN, SpaRTANBlock
from ..spartan.baselines import ConvSMixer
from ..spartan.cmixer import CMixer
from ..spartan.large_kernel import LargeKernelConv
from ..spartan.modulated_conv import ModulatedConv2d
from ..spartan.smixer import SMixer
from .cmixer import DeployedCMixer
from .smixer import DeployedSMixer


@rule(ConvNormAct, ConvSMixer)
def fold_conv_norm_act(module: ConvNormAct) -> ConvNormAct:
    """Fold batch normalization into the convolution; other normalization layers are kept."""
    norm = getattr(module, 'norm', None)
    if not isinstance(norm, _BatchNorm) or norm.running_mean is None or isinstance(module.conv, ModulatedConv2d):
        return module
    folded = changed_copy(module, conv=fuse_conv_bn_eval(module.conv, norm))
    del folded.norm
    return folded


@rule(LargeKernelConv)
def fold_large_kernel(module: LargeKernelConv) -> nn.Module:
    """Add the small kernel to the middle of the large one, if both have batch normalization."""
    large, small = module.large.conv, module.small.conv
    if large.bias is None or small.bias is None:  # their normalization was not folded
        return module
    border = (large.kernel_size[0] - small.kernel_size[0]) // 2
    weight = large.weight + pad(small.weight, (border,) * 4)
    folded = ConvNormAct(
        changed_copy(large, weight=constant(weight), bias=constant(large.bias + small.bias)), None, None
    )
    folded.act = module.act
    return folded.eval()


@rule(ModulatedConv2d)
def fold_modulated_conv(conv: ModulatedConv2d) -> nn.Conv2d:
    """Fold complex weights into the kernel, unless its groups have an odd number of channels above one."""
    if conv.weight.shape[1] % 2 and conv.weight.shape[1] > 1:
        return conv
    weight = modulated_weight(conv.weight, conv.complex_weight, conv.groups)
    return conv_of(weight, groups=len(weight) // weight.shape[1])


@rule(SMixer)
def fold_smixer(mixer: SMixer) -> nn.Module:
    """Fold feature decomposition into ``proj_in``, unless a ``gamma`` is -1, by which a channel becomes its mean."""
    is_mean = not mixer.gamma.is_meta and bool((mixer.gamma == -1).any())
    return mixer if is_mean else DeployedSMixer(mixer)


@rule(CMixer)
def fold_cmixer(mixer: CMixer) -> nn.Module:
    """Separate real and imaginary channels, if the groups of the convolution are pairs of channels."""
    conv, is_normalized = mixer.conv.conv, hasattr(mixer.conv, 'norm')
    is_of_pairs = not isinstance(conv, ModulatedConv2d) and conv.weight.shape[1] == 2 and not is_normalized
    return DeployedCMixer(mixer) if is_of_pairs else mixer


@rule(SpaRTANBlock)
def fold_block(block: SpaRTANBlock) -> SpaRTANBlock:
    """Fold LayerScale into the last projections of the mixers, and the affine part of ``norm1`` into ``proj_in``."""
    folded = changed_copy(block)
    for mixer, scale in (('smixer', 'scale1'), ('cmixer', 'scale2')):
        if getattr(block, scale) is not None and ends_with_projection(getattr(block, mixer)):
            setattr(folded, mixer, scale_projection(getattr(block, mixer), getattr(block, scale)))
            setattr(folded, scale, None)
    is_affine = isinstance(block.norm1, nn.GroupNorm) and block.norm1.weight is not None
    if is_affine and type(block.smixer) in (SMixer, DeployedSMixer):
        folded.norm1 = changed_copy(block.norm1, weight=None, bias=None)
        folded.smixer = changed_copy(folded.smixer, proj_in=after_affine(block.norm1, block.smixer.proj_in))
    return folded


@rule(SpaRTAN)
def fold_spartan(model: SpaRTAN) -> SpaRTAN:
    return changed_copy(model, is_deployed=True)


def ends_with_projection(mixer: nn.Module) -> bool:
    return isinstance(mixer, DeployedSMixer | DeployedCMixer) or getattr(mixer, 'takes_scale', False)


def scale_projection(mixer: Any, scale: Tensor) -> nn.Module:
    """The mixer with its output multiplied by ``scale`` ``(C, 1, 1)``."""
    return changed_copy(mixer, proj_out=scaled_conv(mixer.proj_out, scale))


def scaled_conv(conv: Any, scale: Tensor) -> nn.Module:
    """A convolution, or a list of convolutions whose outputs are summed, with its output multiplied by ``scale``."""
    if isinstance(conv, nn.ModuleList):
        return nn.ModuleList(scaled_conv(one, scale) for one in conv).eval()
    bias = None if conv.bias is None else constant(conv.bias * scale.flatten())
    return changed_copy(conv, weight=constant(conv.weight * scale[:, None]), bias=bias)


def after_affine(norm: nn.GroupNorm, conv: nn.Conv2d) -> nn.Conv2d:
    """Fold weight and bias of a normalization into the 1x1 convolution, with a bias, that follows it."""
    bias = conv.bias + conv.weight.flatten(1) @ norm.bias
    return changed_copy(conv, weight=constant(conv.weight * norm.weight[:, None, None]), bias=constant(bias))
