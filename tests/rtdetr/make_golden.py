"""Computes ``tests/data/rtdetrv2.npz`` with the authors' code: ``python -m tests.rtdetr.make_golden CHECKOUT``.

``CHECKOUT`` is ``rtdetrv2_pytorch`` of one of github.com/lyuwenyu/RT-DETR; PyTorch, torchvision, SciPy and PyYAML are
needed, but no package of OpenMMLab. The arrays are those of ``tests/dfine/make_golden.py``, of RT-DETRv2-S with both
kinds of sampling, and of RT-DETRv2-L.
"""

import sys
from pathlib import Path
from typing import Any

import torch

from tests.dfine.make_golden import NUMBERS, build_criterion, leave_out_noise, load_authors, make

CONFIGS = dict(
    r18vd='rtdetrv2_r18vd_120e_coco.yml',
    r18vd_dsp='rtdetrv2_r18vd_dsp_3x_coco.yml',
    r50vd='rtdetrv2_r50vd_6x_coco.yml',
)


def build(config: dict[str, Any]) -> tuple[torch.nn.ModuleDict, Any]:
    """Return the authors' network and criterion."""
    from src.nn.backbone.presnet import PResNet
    from src.zoo.rtdetr import rtdetrv2_decoder
    from src.zoo.rtdetr.hybrid_encoder import HybridEncoder
    from src.zoo.rtdetr.matcher import HungarianMatcher
    from src.zoo.rtdetr.rtdetrv2_criterion import RTDETRCriterionv2

    leave_out_noise(rtdetrv2_decoder)
    parts = dict(
        backbone=PResNet(**{**config['PResNet'], 'pretrained': False}),
        encoder=HybridEncoder(**config['HybridEncoder']),
        decoder=rtdetrv2_decoder.RTDETRTransformerv2(**{**config['RTDETRTransformerv2'], **NUMBERS}),
    )
    return torch.nn.ModuleDict(parts), build_criterion(RTDETRCriterionv2, HungarianMatcher, config)


def main(checkout: str) -> None:
    load_authors(checkout, 'src', ('.nn', '.nn.backbone', '.zoo', '.zoo.rtdetr'))
    make('rtdetrv2.npz', {kind: Path(checkout, 'configs/rtdetrv2', name) for kind, name in CONFIGS.items()}, build, 256)


if __name__ == '__main__':
    main(*sys.argv[1:])
