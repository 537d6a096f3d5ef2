"""Computes ``tests/data/deimv2.npz`` with the authors' code: ``python -m tests.deimv2.make_golden CHECKOUT``.

``CHECKOUT`` is one of github.com/Intellindust-AI-Lab/DEIMv2; PyTorch, torchvision, SciPy and PyYAML are needed, but no
package of OpenMMLab. Everything is in float64. Weights are random numbers that follow from their names.

For each size atto, femto, pico and n:
    names, shapes    of the weights
    setting/NAME     tensors of a checkpoint that are not weights
    logits, boxes    of two images of 128 x 128 pixels, 30 queries
    loss/KEY         with the authors' keys, weights applied; batch normalization by running statistics, no random noise
    last/KEY         the same in the last epochs, which match otherwise
    given/KEY        the same with given matches
    grad/NAME        of the sum of ``loss`` and ``given``, for small parameters
"""

import functools
import re
import sys
from pathlib import Path
from typing import Any

import torch

from tests.dfine import make_golden
from tests.dfine.make_golden import NUMBERS, build_criterion, leave_out_noise, load_authors, record, save

SIZES = ('atto', 'femto', 'pico', 'n')


def weight(name: str, shape: tuple[int, ...], size: str) -> torch.Tensor:
    if size != 'n':  # one branch has several names
        name = re.sub(r'dec_bbox_head\.\d', 'dec_bbox_head.0', name)
    return make_golden.weight(name, shape)


def merge(first: Any, second: Any) -> Any:
    """Return the settings of a file that includes another; those of dicts in dicts are joined too."""
    if not isinstance(first, dict) or not isinstance(second, dict):
        return second
    return {**first, **{key: merge(first.get(key), value) for key, value in second.items()}}


def read_config(path: Path) -> dict[str, Any]:
    import yaml

    found = yaml.safe_load(path.read_text())
    parts = [read_config(path.parent / name) for name in found.pop('__include__', [])]
    return functools.reduce(merge, [*parts, found], {})


def build(config: dict[str, Any]) -> tuple[torch.nn.ModuleDict, Any]:
    """Return the authors' network and criterion."""
    from engine.backbone.hgnetv2 import HGNetv2
    from engine.deim import deim_decoder
    from engine.deim.deim_criterion import DEIMCriterion
    from engine.deim.hybrid_encoder import HybridEncoder
    from engine.deim.lite_encoder import LiteEncoder
    from engine.deim.matcher import HungarianMatcher

    leave_out_noise(deim_decoder)
    backbone = {**config['HGNetv2'], 'pretrained': False}
    del backbone['local_model_dir']
    kind = {'LiteEncoder': LiteEncoder, 'HybridEncoder': HybridEncoder}[config['DEIM']['encoder']]
    parts = dict(
        backbone=HGNetv2(**backbone),
        encoder=kind(**config[kind.__name__]),
        decoder=deim_decoder.DEIMTransformer(**{**config['DEIMTransformer'], **NUMBERS}),
    )
    return torch.nn.ModuleDict(parts), build_criterion(DEIMCriterion, HungarianMatcher, config)


def main(checkout: str) -> None:
    load_authors(checkout, 'engine', ('.backbone', '.deim'))
    found = {}
    for size in SIZES:
        torch.manual_seed(0)
        config = read_config(Path(checkout, f'configs/deimv2/deimv2_hgnetv2_{size}_coco.yml'))
        found[size] = record(*build(config), functools.partial(weight, size=size), loss={}, last=dict(epoch=10**6))
    save('deimv2.npz', found)


if __name__ == '__main__':
    main(*sys.argv[1:])
