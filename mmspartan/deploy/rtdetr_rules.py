"""Rules that fold RT-DETR: batch normalization, RepVGG branches, and the input convolutions of finer feature maps."""

import copy
from collections import OrderedDict

from mmcv.cnn import fuse_conv_bn
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from torch import nn
from torch.nn.functional import pad

from ..nn.conv_norm_act import ConvNormAct
from ..nn.fold import changed_copy, constant, rule, rule_of
from ..rtdetr.detector import RTDETR
from ..rtdetr.encoder import HybridEncoder
from ..rtdetr.fusion import RepVGGBlock
from .split_projection import SplitProjection


def is_one_conv(module: nn.Module) -> bool:
    """Whether a module consists of a convolution with a bias and an optional activation."""
    return isinstance(module, ConvNormAct) and not hasattr(module, 'norm') and module.conv.bias is not None


@rule(RepVGGBlock)
def fold_repvgg(block: RepVGGBlock) -> nn.Module:
    """Fold both branches into one 3x3 convolution (RepVGG, arXiv 2101.03697)."""
    if not (is_one_conv(block.conv3) and is_one_conv(block.conv1)):
        return block
    conv3, conv1 = block.conv3.conv, block.conv1.conv
    weight, bias = conv3.weight + pad(conv1.weight, [1, 1, 1, 1]), conv3.bias + conv1.bias
    conv = changed_copy(conv3, weight=constant(weight), bias=constant(bias))
    return nn.Sequential(OrderedDict(conv3=conv, act=block.act)).eval()


@rule(HybridEncoder)
def fold_encoder(encoder: HybridEncoder) -> HybridEncoder:
    """Fold the input convolutions of finer feature maps into the branches of the fusion blocks."""
    input_convs, blocks = list(encoder.input_convs), list(encoder.top_down_blocks)
    for i, level in enumerate(range(len(input_convs) - 2, -1, -1)):
        before, entries = input_convs[level], {name: getattr(blocks[i], name) for name in blocks[i].entries}
        if entries and all(is_one_conv(conv) for conv in (before, *entries.values())):
            split = {name: SplitProjection(conv.conv, conv.act, before.conv) for name, conv in entries.items()}
            blocks[i] = changed_copy(blocks[i], **split, is_split=True)
            input_convs[level] = nn.Identity()
    return changed_copy(
        encoder,
        input_convs=nn.ModuleList(input_convs).eval(),
        top_down_blocks=nn.ModuleList(blocks).eval(),
        is_deployed=True,
    )


def has_plain_norms(module: nn.Module) -> bool:
    """Whether all batch normalization is PyTorch's. mmcv would remove timm's ``BatchNormAct2d`` with its activation."""
    norms = (nn.BatchNorm2d, nn.SyncBatchNorm)
    return all(type(child) in norms for child in module.modules() if isinstance(child, _BatchNorm))


@rule(RTDETR)
def fold_rtdetr(model: RTDETR) -> RTDETR:
    """Remove denoising, which only training uses, and fold a backbone without a rule by mmcv."""
    backbone = model.backbone
    if rule_of(backbone) is None and has_plain_norms(backbone):
        backbone = fuse_conv_bn(copy.deepcopy(backbone))
    return changed_copy(model, backbone=backbone, denoising=None, is_deployed=True)
