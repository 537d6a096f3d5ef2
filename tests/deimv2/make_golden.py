"""Computes ``tests/data/deimv2.npz`` with the authors' code: ``python -m tests.deimv2.make_golden CHECKOUT``.

``CHECKOUT`` is one of github.com/Intellindust-AI-Lab/DEIMv2; PyTorch, torchvision, SciPy and PyYAML are needed, but no
package of OpenMMLab. Everything is in float64. Weights are random numbers that follow from their names.

For each size atto, femto, pico and n:
    names, shapes    of the weights
    setting/NAME     tensors of a checkpoint that are not weights
    logits, boxes    of two images of 128 x 128 pixels, 30 queries
    loss/KEY         with the authors' keys, weights applied; batch normalization by running statistics, no random noise
    last/KEY         the same in the last epochs, which match otherwise
    grad/NAME        of the sum of ``loss``, for small parameters
"""

import functools
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.dfine import make_golden
from tests.dfine.make_golden import (
    CLASSES,
    DENOISING,
    OBJECTS,
    QUERIES,
    is_computed,
    load_authors,
    predict,
    without_noise,
)

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

    if not isinstance(deim_decoder.get_contrastive_denoising_training_group, functools.partial):
        make_denoising = deim_decoder.get_contrastive_denoising_training_group
        deim_decoder.get_contrastive_denoising_training_group = functools.partial(without_noise, make_denoising)
    backbone = {**config['HGNetv2'], 'pretrained': False}
    del backbone['local_model_dir']
    kind = {'LiteEncoder': LiteEncoder, 'HybridEncoder': HybridEncoder}[config['DEIM']['encoder']]
    decoder = dict(config['DEIMTransformer'], num_classes=CLASSES, num_queries=QUERIES, num_denoising=DENOISING)
    parts = dict(
        backbone=HGNetv2(**backbone),
        encoder=kind(**config[kind.__name__]),
        decoder=deim_decoder.DEIMTransformer(**decoder),
    )
    options = dict(config['DEIMCriterion'])
    matcher = {key: value for key, value in options.pop('matcher').items() if key != 'type'}
    matcher = HungarianMatcher(**matcher, use_focal_loss=True)
    return torch.nn.ModuleDict(parts), DEIMCriterion(matcher, num_classes=CLASSES, **options)


def main(checkout: str) -> None:
    load_authors(checkout, 'engine', ('.backbone', '.deim'))
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign] # normalization and losses cast in between
    arrays: dict[str, Any] = {}
    for size in SIZES:
        torch.manual_seed(0)
        network, criterion = build(read_config(Path(checkout, f'configs/deimv2/deimv2_hgnetv2_{size}_coco.yml')))
        state = network.state_dict()
        names = [name for name in state if not is_computed(name)]
        for name in state.keys() - set(names):
            if not name.endswith('num_batches_tracked'):
                arrays[f'{size}/setting/{name}'] = state[name].numpy().copy()
        weights = {name: weight(name, tuple(state[name].shape), size) for name in names}
        network.load_state_dict(weights, strict=False)
        network = network.double()
        for module in network.modules():
            if hasattr(module, 'num_points_scale'):  # 1/6 was float32
                module.num_points_scale = 1 / (1 / module.num_points_scale).round()
        arrays[f'{size}/names'] = np.array(names)
        arrays[f'{size}/shapes'] = np.array(['x'.join(map(str, state[name].shape)) for name in names])

        with torch.no_grad():
            found = predict(network.eval())
        arrays[f'{size}/logits'], arrays[f'{size}/boxes'] = found['pred_logits'].numpy(), found['pred_boxes'].numpy()

        network.train()
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
        targets = [dict(labels=torch.tensor(label), boxes=torch.tensor(box).double()) for label, box in OBJECTS]
        found = predict(network, targets)
        torch.set_default_dtype(torch.float64)  # for what the losses compute of numbers
        losses, last = criterion(found, targets), criterion(found, targets, epoch=10**6)
        torch.set_default_dtype(torch.float32)
        for kind, values in (('loss', losses), ('last', last)):
            for name, loss in values.items():
                arrays[f'{size}/{kind}/{name}'] = loss.detach().numpy()
        sum(losses.values()).backward()
        for name, parameter in network.named_parameters():
            if parameter.grad is not None and parameter.numel() <= 132 and 'backbone' not in name:
                arrays[f'{size}/grad/{name}'] = parameter.grad.numpy()
    np.savez_compressed(Path(__file__).parents[1] / 'data' / 'deimv2.npz', **arrays)


if __name__ == '__main__':
    main(*sys.argv[1:])
