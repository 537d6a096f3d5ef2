"""SpaRTAN (Pay et al., IJCNN 2025), a light CNN backbone. Authors' code: github.com/henry-pay/SpaRTAN (Apache-2.0).

Where the paper's text and the authors' implementation differ, the default is the implementation, which produced the
published accuracies and weights:

* The stem's activation is GELU; the paper's Table VI reports SiLU for all patch embeddings (``stem_act_cfg``).
* "LayerNorm" before the mixers is GroupNorm with one group: statistics over channels and positions (``norm_cfg``).
* The last block's drop path rate is below ``drop_path_rate``: block k of n has ``drop_path_rate * k / n``.

The values are those of the implementation. :mod:`mmspartan.ops` computes them on less memory, and
:mod:`mmspartan.deploy` folds a trained network for inference.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from mmcv.cnn import build_norm_layer
from mmcv.cnn.bricks import DropPath
from mmengine.model import BaseModule, ModuleList, Sequential
from mmengine.registry import MODELS
from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm
from torch import Tensor, nn

from ..checks import (
    check_choices,
    check_flags,
    check_integers,
    check_numbers,
    is_integer,
    refuse,
    refuse_training_of_deployed,
)
from ..nn.conv_norm_act import ConvNormAct
from ..nn.fold import fold_in_place
from ..ops.device import has_gpu
from ..ops.recompute import recompute
from ..ops.residual import add_mixed

# Table I. Channels of the four stages, blocks of each, expand ratio of its CMixers.
ARCHS = {
    'xt': dict(channels=(32, 64, 96, 192), depths=(3, 3, 10, 2), expand_ratios=(4, 4, 2, 2)),
    't': dict(channels=(32, 64, 128, 256), depths=(3, 3, 12, 2), expand_ratios=(4, 4, 2, 2)),
}

# Keys of ``arch`` for what pruning left of the mixers, one number a block.
WIDTHS = ('smixer_widths', 'cmixer_widths')

# Table VIII. Which stages have depthwise instead of full convolutions.
CONV_TYPES = {
    'full': (False, False, False, False),
    'depthwise': (True, True, True, True),
    'hybrid': (False, False, True, True),
}


class SpaRTANBlock(BaseModule):
    """``Y = X + SMixer(Norm(X)); Z = Y + CMixer(Norm(Y))`` (Eq. 1 and 2) with LayerScale and stochastic depth.

    Args:
        channels, expand_ratio (int): Of the stage (Table I).
        depthwise (bool): Kind of the stage's convolutions (Table VIII).
        drop_path_rate, layer_scale_init_value (float): Of this block.
        smixer, cmixer (dict): Configs of the mixers, see :mod:`mmspartan.spartan.mixer`; ``width`` of ``cmixer`` are
            its hidden channels N if they are not ``channels * expand_ratio``.
        norm_cfg (dict): Normalization before the mixers.
        conv_norm_cfg, act_cfg (dict): Normalization and activation after convolutions.

    Shape: ``(B, channels, H, W)`` to the same.
    """

    is_region = True  # of regional compilation

    def __init__(
        self,
        channels: int,
        expand_ratio: int,
        depthwise: bool,
        drop_path_rate: float,
        layer_scale_init_value: float,
        smixer: dict,
        cmixer: dict,
        norm_cfg: dict,
        conv_norm_cfg: dict,
        act_cfg: dict,
    ):
        super().__init__()
        common = dict(channels=channels, norm_cfg=conv_norm_cfg, act_cfg=act_cfg)
        hidden = cmixer.get('width', channels * expand_ratio)
        groups = hidden // expand_ratio if depthwise else hidden
        self.norm1 = build_norm_layer(norm_cfg, channels)[1]
        self.smixer = MODELS.build({'type': 'SMixer', 'depthwise': depthwise, **common, **smixer})
        # three dimensions, as in the authors' weights: with one, weight decay would leave them out (flat_decay_mult)
        self.scale1 = nn.Parameter(torch.full((channels, 1, 1), float(layer_scale_init_value)))
        self.norm2 = build_norm_layer(norm_cfg, channels)[1]
        self.cmixer = MODELS.build(
            {'type': 'CMixer', 'expand_ratio': expand_ratio, 'groups': groups, **common, **cmixer}
        )
        self.scale2 = nn.Parameter(torch.full((channels, 1, 1), float(layer_scale_init_value)))
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: Tensor) -> Tensor:
        x = add_mixed(x, self.smixer, self.norm1(x), self._path_scale(self.scale1, x))  # Eq. 1
        return add_mixed(x, self.cmixer, self.norm2(x), self._path_scale(self.scale2, x))  # Eq. 2

    def _path_scale(self, scale: Tensor | None, x: Tensor) -> Tensor | None:
        """LayerScale of each image, 0 where its path is dropped: fewer values than if features were dropped."""
        if scale is None or not self.training or not self.drop_path.drop_prob:
            return scale
        return self.drop_path(scale.expand(x.shape[0], -1, -1, -1))


@MODELS.register_module()
class SpaRTAN(BaseModule):
    """SpaRTAN backbone (paper Sec. III, Table I).

    Args:
        arch (str | dict): ``'xt'``, ``'t'`` (Table I), or a dict with ``channels`` (multiples of 8), ``depths`` and
            ``expand_ratios``, four numbers each; of a pruned network (:mod:`mmspartan.pruning`) also with
            ``smixer_widths`` and ``cmixer_widths``, the ``width`` of the mixers of each block.
        in_channels (int): Channels of the image. Defaults to 3.
        out_indices (int | Sequence[int]): Stages whose output is returned, 0 to 3 (strides 4, 8, 16, 32) or counted
            from the end; later ones are not built. Defaults to -1, the last one, which a classifier needs.
        frozen_stages (int): This many stages, the stem being part of the first, get no gradient and keep their batch
            statistics. Defaults to 0; -1 means the same.
        norm_eval (bool): Keep all BatchNorm layers in evaluation mode while training. Defaults to False.
        drop_path_rate (float): Stochastic depth, in [0, 1); block k of n is dropped with ``drop_path_rate * k / n``.
            Defaults to 0; the published models were trained with 0.1.
        layer_scale_init_value (float): Start of LayerScale. Defaults to 1e-5.
        smixer (dict): Spatial mixer: ``SMixer``, with ``kernel_size=5`` for Table V, or ``ConvSMixer`` (Table IV).
        cmixer (dict): Channel mixer: ``CMixer``, or ``MLPCMixer``, with ``se=True`` or without (Table IV).
        conv_type (str): ``'hybrid'``, ``'full'`` or ``'depthwise'`` (Table VIII).
        stem_act_cfg, downsample_act_cfg, act_cfg (dict): Activation in the stem, in the later patch embeddings and in
            the blocks (Table VI). Default to GELU, SiLU, GELU.
        norm_cfg (dict): Normalization before the mixers (Table VII). Defaults to GroupNorm with one group.
        conv_norm_cfg (dict): Normalization after convolutions (Table VII). Defaults to BatchNorm; ``ChannelLN`` is
            the LayerNorm over channels to compare with, ``SyncBN`` serves small batches on many GPUs.
        with_cp (bool): Recompute each block in the backward pass, to save memory. Defaults to False.
        channels_last (bool, optional): Weights, and with them the features here and in what follows, in this memory
            format: faster on CPUs, slower on GPUs, where GroupNorm returns the other format. By default where there
            is no GPU.
        deploy (bool): Build the form of :meth:`switch_to_deploy`, for weights saved from it. Defaults to False.
        init_cfg (dict | Sequence[dict]): Initialization. Defaults to ``GroupedFanOut``, the authors'; for weights from
            a file ``dict(type='Pretrained', checkpoint=..., prefix='backbone.')``.

    Shape: ``(B, in_channels, H, W)`` to a tuple of ``(B, channels[i], H / 2**(i + 2), W / 2**(i + 2))`` for i in
    ``out_indices``, each division rounded up in the stem (3x3) and down after it (2x2).

    Raises:
        ValueError: If an argument is out of its range, a side of the image does not survive the five halvings, or the
            deployed form is to be trained.
    """

    def __init__(
        self,
        arch: str | dict = 't',
        in_channels: int = 3,
        out_indices: int | Sequence[int] = -1,
        frozen_stages: int = 0,
        norm_eval: bool = False,
        drop_path_rate: float = 0.0,
        layer_scale_init_value: float = 1e-5,
        smixer: dict = dict(type='SMixer'),
        cmixer: dict = dict(type='CMixer'),
        conv_type: str = 'hybrid',
        stem_act_cfg: dict = dict(type='GELU'),
        downsample_act_cfg: dict = dict(type='SiLU'),
        act_cfg: dict = dict(type='GELU'),
        norm_cfg: dict = dict(type='GN', num_groups=1, eps=1e-6),
        conv_norm_cfg: dict = dict(type='BN', eps=1e-6),
        with_cp: bool = False,
        channels_last: bool | None = None,
        deploy: bool = False,
        init_cfg: dict | Sequence[dict] = dict(type='GroupedFanOut'),
    ):
        super().__init__(init_cfg)
        channels, depths, expand_ratios, widths = _check_arch(arch)
        self.out_indices = _check_out_indices(out_indices)
        check_integers('SpaRTAN', in_channels=in_channels)
        check_integers('SpaRTAN', -1, 4, frozen_stages=frozen_stages)
        check_numbers('SpaRTAN', '[0, 1)', drop_path_rate=drop_path_rate)
        check_numbers('SpaRTAN', '(-inf, inf)', layer_scale_init_value=layer_scale_init_value)
        check_choices('SpaRTAN', CONV_TYPES, conv_type=conv_type)
        if channels_last is None:
            channels_last = not has_gpu()
        check_flags('SpaRTAN', norm_eval=norm_eval, with_cp=with_cp, channels_last=channels_last, deploy=deploy)
        self.out_channels = tuple(channels[i] for i in self.out_indices)
        self.is_deployed = False
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.with_cp = with_cp

        width = channels[0]
        stem = nn.Sequential(
            ConvNormAct(
                nn.Conv2d(in_channels, width // 2, 3, stride=2, padding=1, bias=False), conv_norm_cfg, stem_act_cfg
            ),
            ConvNormAct(nn.Conv2d(width // 2, width, 3, stride=2, padding=1, bias=False), conv_norm_cfg, stem_act_cfg),
        )
        downsamplings = [
            ConvNormAct(nn.Conv2d(c_in, c_out, 2, stride=2, bias=False), conv_norm_cfg, downsample_act_cfg)
            for c_in, c_out in pairwise(channels)
        ]
        used = self.out_indices[-1] + 1  # DDP waits for the gradients of all that is there
        self.patch_embeds = ModuleList([stem, *downsamplings][:used])

        rates = iter(drop_path_rate * k / sum(depths) for k in range(sum(depths)))
        mixers = iter([({**smixer, **of_smixer}, {**cmixer, **of_cmixer}) for of_smixer, of_cmixer in widths])
        self.stages = ModuleList(
            Sequential(
                *(
                    SpaRTANBlock(
                        width,
                        expand_ratio,
                        depthwise,
                        next(rates),
                        layer_scale_init_value,
                        *next(mixers),
                        norm_cfg,
                        conv_norm_cfg,
                        act_cfg,
                    )
                    for _ in range(depth)
                )
            )
            for width, depth, expand_ratio, depthwise in list(
                zip(channels, depths, expand_ratios, CONV_TYPES[conv_type])
            )[:used]
        )
        self._freeze_stages()
        if channels_last:  # here and not when training starts: DDP lays its buckets out as it finds the weights
            self.to(memory_format=torch.channels_last)
        if deploy:
            self.eval().switch_to_deploy()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        refuse_training_of_deployed(self)
        if min(x.shape[-2:]) < 29:  # 29 -> 15 -> 8 -> 4 -> 2 -> 1
            raise ValueError(f'SpaRTAN: the sides of an image must be at least 29, got {tuple(x.shape[-2:])}')
        outs = []
        for i, (patch_embed, blocks) in enumerate(zip(self.patch_embeds, self.stages)):
            x = patch_embed(x)
            for block in blocks:
                x = recompute(block, x) if self.with_cp and self.training else block(x)
            if i in self.out_indices:
                outs.append(x)
        return tuple(outs)

    def train(self, mode: bool = True) -> 'SpaRTAN':
        super().train(mode)
        for i in range(min(self.frozen_stages, len(self.stages))):
            self.patch_embeds[i].eval()
            self.stages[i].eval()
        if self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def switch_to_deploy(self) -> None:
        """Fold what is constant at inference: batch normalization, LayerScale, complex weights, feature decomposition.

        Outputs stay the same up to rounding. There is no way back but to build the model anew and load its weights.

        Raises:
            RuntimeError: In training mode.
        """
        fold_in_place(self)

    def _freeze_stages(self) -> None:
        for i in range(min(self.frozen_stages, len(self.stages))):
            self.patch_embeds[i].requires_grad_(False)
            self.stages[i].requires_grad_(False)
        self.train(self.training)


def _check_arch(arch: str | dict[str, Any]) -> tuple[Any, Any, Any, list[tuple[dict, dict]]]:
    """Channels, depths and expand ratios of the stages, and for each block what its mixers get beside their configs."""
    if isinstance(arch, str):
        arch = ARCHS.get(arch, arch)
    if not isinstance(arch, Mapping):
        refuse('SpaRTAN', 'arch', f'one of {list(ARCHS)} or a dict', arch)
    keys = ('channels', 'depths', 'expand_ratios')
    if not set(keys) <= set(arch) <= {*keys, *WIDTHS}:
        raise ValueError(f'SpaRTAN: arch must have the keys {keys}, and may have {WIDTHS}, got {tuple(arch)}')
    for key in keys:
        _check_numbers(arch, key, 4, 'four positive integers, one a stage')
    if any(c % 8 for c in arch['channels']):
        refuse('SpaRTAN', "arch['channels']", 'multiples of 8', arch['channels'])
    blocks = sum(arch['depths'])
    for key in arch.keys() & set(WIDTHS):
        _check_numbers(arch, key, blocks, f'{blocks} positive integers, one a block')
    widths: list[list[dict]] = [
        [dict(width=width) for width in arch[key]] if key in arch else [{}] * blocks for key in WIDTHS
    ]
    channels, depths, expand_ratios = (arch[key] for key in keys)
    return channels, depths, expand_ratios, list(zip(*widths))


def _check_numbers(arch: Mapping[str, Any], key: str, count: int, allowed: str) -> None:
    numbers = arch[key]
    if not isinstance(numbers, Sequence) or len(numbers) != count or not all(map(is_integer, numbers)):
        refuse('SpaRTAN', f'arch[{key!r}]', allowed, numbers)


def _check_out_indices(out_indices: int | Sequence[int]) -> list[int]:
    indices = list(out_indices) if isinstance(out_indices, Sequence) else [out_indices]
    if not indices or not all(is_integer(i, -4, 3) for i in indices):
        refuse('SpaRTAN', 'out_indices', 'in 0..3, or -4..-1 from the end', out_indices)
    return sorted({i % 4 for i in indices})
