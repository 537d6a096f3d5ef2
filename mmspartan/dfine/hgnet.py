"""HGNetV2 (PaddleClas' PP-HGNetV2), the backbone of D-FINE: timm's, with weights named as by D-FINE's authors.

Two smaller ones are DEIMv2's (arXiv 2509.20787).
"""

from collections.abc import Sequence
from typing import Any

from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from ..checks import check_choices, check_flags, is_integer, refuse
from ..errors import InputError

# The last of the three stages of DEIMv2's backbones, as timm describes stages; the others are those of b0, as are all
# three of DEIMv2-Pico.
LAST_STAGES = dict(atto=[256, 64, 256, 1, True, True, 3, 3], femto=[256, 64, 512, 1, True, True, 5, 3])
ARCHS = (*LAST_STAGES, 'b0', 'b1', 'b2', 'b3', 'b4', 'b5', 'b6')  # those before b4 have learnable affine blocks


@MODELS.register_module()
class HGNetV2(BaseModule):
    """timm's ``hgnetv2_b0`` to ``hgnetv2_b6``, without their classifiers, and DEIMv2's smaller ones.

    mmpretrain's ``TIMMBackbone`` builds the same network, but can freeze no part of it.

    Args:
        arch (str): ``'b0'`` to ``'b6'``, or ``'atto'`` or ``'femto'``, which have three stages.
        out_indices (Sequence[int]): Stages whose output is returned, ascending, 0 to 3 (strides 4, 8, 16, 32); later
            stages are not built. Defaults to the last three.
        frozen_stem (bool): Whether the stem is not trained. Defaults to False.
        frozen_norm (bool): Whether normalizations are not trained, and use their running statistics in training too.
            Defaults to False.
        init_cfg (dict, optional): Initialization.

    Shape: ``(B, 3, H, W)`` to a tuple of ``(B, out_channels[i], H_i, W_i)``.

    Raises:
        ValueError: If an argument is out of its range.
        InputError: If timm is not installed.
    """

    def __init__(
        self,
        arch: str,
        out_indices: Sequence[int] | None = None,
        frozen_stem: bool = False,
        frozen_norm: bool = False,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        check_choices('HGNetV2', ARCHS, arch=arch)
        check_flags('HGNetV2', frozen_stem=frozen_stem, frozen_norm=frozen_norm)
        last = 2 if arch in LAST_STAGES else 3
        out_indices = range(last - 2, last + 1) if out_indices is None else out_indices
        indices = list(out_indices) if isinstance(out_indices, Sequence) else []
        if not indices or not all(is_integer(i, 0, last) for i in indices) or indices != sorted(set(indices)):
            refuse('HGNetV2', 'out_indices', f'ascending integers in 0..{last}', out_indices)
        try:
            import timm
        except ModuleNotFoundError:
            raise InputError("HGNetV2 is timm's; install it: pip install timm") from None
        net: Any
        if arch in LAST_STAGES:
            from timm.models import FeatureListNet
            from timm.models.hgnet import HighPerfGpuNet, model_cfgs

            cfg = {**model_cfgs['hgnetv2_b0'], 'stage3': LAST_STAGES[arch]}
            net = FeatureListNet(HighPerfGpuNet(cfg, use_lab=True), tuple(indices), flatten_sequential=True)
        else:
            net = timm.create_model(f'hgnetv2_{arch}', features_only=True, out_indices=tuple(indices))
        self.net = net
        self.out_channels = net.feature_info.channels()
        self.frozen_norm = frozen_norm
        norms = [module for module in self.net.modules() if isinstance(module, _BatchNorm)] if frozen_norm else []
        for module in [*norms, *([self.net.stem] if frozen_stem else [])]:
            module.requires_grad_(False)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.net(x))

    def train(self, mode: bool = True) -> 'HGNetV2':
        """Set the mode, but for normalizations that are frozen."""
        super().train(mode)
        if self.frozen_norm:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self
