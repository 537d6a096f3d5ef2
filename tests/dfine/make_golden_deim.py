"""Computes ``tests/data/deim.npz`` with DEIM's authors' code: ``python -m tests.dfine.make_golden_deim CHECKOUT``.

``CHECKOUT`` is one of github.com/ShihuaHuang95/DEIM; PyTorch, torchvision, SciPy and PyYAML are needed, but no package
of OpenMMLab. Everything is in float64. Weights are random numbers that follow from their names; none are stored.

For DEIM-D-FINE-N and DEIM-RT-DETRv2-S:
    names, shapes  of the weights
    setting/NAME   tensors of a checkpoint that are not weights
    logits, boxes  of two images of 128 x 128 pixels, 30 queries
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.dfine.make_golden import CLASSES, QUERIES, is_computed, load_authors, predict, read_config, weight

CONFIGS = dict(dfine='deim_dfine/deim_hgnetv2_n_coco.yml', rtdetrv2='deim_rtdetrv2/deim_r18vd_120e_coco.yml')


def build(config: dict[str, Any]) -> torch.nn.ModuleDict:
    """Return the authors' network."""
    from engine.backbone.hgnetv2 import HGNetv2
    from engine.backbone.presnet import PResNet
    from engine.deim.dfine_decoder import DFINETransformer
    from engine.deim.hybrid_encoder import HybridEncoder
    from engine.deim.rtdetrv2_decoder import RTDETRTransformerv2

    kinds = (HGNetv2, DFINETransformer) if 'DFINETransformer' in config else (PResNet, RTDETRTransformerv2)
    backbone, decoder = (dict(config[kind.__name__]) for kind in kinds)
    backbone.update(pretrained=False)
    backbone.pop('local_model_dir')
    decoder.update(num_classes=CLASSES, num_queries=QUERIES)
    encoder = HybridEncoder(**config['HybridEncoder'])
    return torch.nn.ModuleDict(dict(backbone=kinds[0](**backbone), encoder=encoder, decoder=kinds[1](**decoder)))


def main(checkout: str) -> None:
    load_authors(checkout, 'engine', ('.backbone', '.deim'))
    arrays: dict[str, Any] = {}
    for kind, path in CONFIGS.items():
        network = build(read_config(Path(checkout, 'configs', path)))
        state = network.state_dict()
        names = [name for name in state if not is_computed(name)]
        for name in state.keys() - set(names):
            if not name.endswith('num_batches_tracked'):
                arrays[f'{kind}/setting/{name}'] = state[name].numpy()
        network.load_state_dict({name: weight(name, tuple(state[name].shape)) for name in names}, strict=False)
        arrays[f'{kind}/names'] = np.array(names)
        arrays[f'{kind}/shapes'] = np.array(['x'.join(map(str, state[name].shape)) for name in names])
        network = network.double().eval()
        for module in network.modules():
            if hasattr(module, 'num_points_scale'):  # 1/6 was float32
                module.num_points_scale = 1 / (1 / module.num_points_scale).round()
        with torch.no_grad():
            found = predict(network)
        arrays[f'{kind}/logits'], arrays[f'{kind}/boxes'] = found['pred_logits'].numpy(), found['pred_boxes'].numpy()
    np.savez_compressed(Path(__file__).parents[1] / 'data' / 'deim.npz', **arrays)


if __name__ == '__main__':
    main(*sys.argv[1:])
