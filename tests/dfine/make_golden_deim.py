"""Computes ``tests/data/deim.npz`` with DEIM's authors' code: ``python -m tests.dfine.make_golden_deim CHECKOUT``.

``CHECKOUT`` is one of github.com/ShihuaHuang95/DEIM; PyTorch, torchvision, SciPy and PyYAML are needed, but no package
of OpenMMLab. The arrays are those of ``make_golden.py``, of DEIM-D-FINE-N and DEIM-RT-DETRv2-S.
"""

import sys
from pathlib import Path
from typing import Any

import torch

from tests.dfine.make_golden import NUMBERS, build_criterion, leave_out_noise, load_authors, make

CONFIGS = dict(dfine='deim_dfine/deim_hgnetv2_n_coco.yml', rtdetrv2='deim_rtdetrv2/deim_r18vd_120e_coco.yml')


def build(config: dict[str, Any]) -> tuple[torch.nn.ModuleDict, Any]:
    """Return the authors' network and criterion."""
    from engine.backbone.hgnetv2 import HGNetv2
    from engine.backbone.presnet import PResNet
    from engine.deim import dfine_decoder, rtdetrv2_decoder
    from engine.deim.deim_criterion import DEIMCriterion
    from engine.deim.hybrid_encoder import HybridEncoder
    from engine.deim.matcher import HungarianMatcher

    is_dfine = 'DFINETransformer' in config
    decoders = dfine_decoder if is_dfine else rtdetrv2_decoder
    leave_out_noise(decoders)
    backbone = HGNetv2 if is_dfine else PResNet
    decoder = dfine_decoder.DFINETransformer if is_dfine else rtdetrv2_decoder.RTDETRTransformerv2
    options = {**config[backbone.__name__], 'pretrained': False}
    options.pop('local_model_dir', None)
    parts = dict(
        backbone=backbone(**options),
        encoder=HybridEncoder(**config['HybridEncoder']),
        decoder=decoder(**{**config[decoder.__name__], **NUMBERS}),
    )
    return torch.nn.ModuleDict(parts), build_criterion(DEIMCriterion, HungarianMatcher, config)


def main(checkout: str) -> None:
    load_authors(checkout, 'engine', ('.backbone', '.deim'))
    make('deim.npz', {kind: Path(checkout, 'configs', name) for kind, name in CONFIGS.items()}, build)


if __name__ == '__main__':
    main(*sys.argv[1:])
