"""Computes ``tests/data/dfine.npz`` with the authors' code: ``python tests/dfine/make_golden.py CHECKOUT``.

``CHECKOUT`` is one of github.com/Peterande/D-FINE; PyTorch, torchvision, SciPy and PyYAML are needed, but no package of
OpenMMLab. Everything is in float64. Weights are random numbers that follow from their names, so that none are stored.

For each size n, s, m, l and x:
    names, shapes  of the weights
    setting/NAME   tensors of a checkpoint that are not weights
    logits, boxes  of two images of 128 x 128 pixels, 30 queries
    loss/KEY       with the authors' keys, weights applied; batch normalization by running statistics, no random noise
    given/KEY      the same with matches that are given by ``given_queries`` instead of the authors' matching
    grad/NAME      of the sum of both, for small parameters
"""

import functools
import sys
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

SIZE, QUERIES, CLASSES, DENOISING = 128, 30, 10, 8
SIZES = 'nsmlx'
NUMBERS: dict[str, Any] = dict(num_classes=CLASSES, num_queries=QUERIES, num_denoising=DENOISING)
PARTS = ('.nn', '.nn.backbone', '.zoo', '.zoo.dfine')  # of their package
OBJECTS = [
    ([1, 2, 2], [[0.3, 0.3, 0.2, 0.3], [0.6, 0.55, 0.4, 0.3], [0.7, 0.3, 0.25, 0.5]]),
    ([7], [[0.45, 0.5, 0.6, 0.4]]),
]


def weight(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Return the random numbers for a weight, in float32."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    random = torch.rand(shape, generator=generator, dtype=torch.float32) - 0.5
    if name.endswith('running_var'):
        return random + 1.0
    if len(shape) > 1:
        return random * 2 * (3 / max(1, int(np.prod(shape[1:])))) ** 0.5
    if name.endswith('.scale') or (name.endswith('.weight') and 'embed' not in name):
        return random * 0.2 + 1.0
    return random * 0.2


def is_computed(name: str) -> bool:
    """Whether an entry of a state dict is no weight."""
    return name.endswith(('num_points_scale', 'num_batches_tracked', 'decoder.up', 'decoder.reg_scale'))


def images() -> torch.Tensor:
    return torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def given_queries(logits: torch.Tensor, count: int) -> torch.Tensor:
    """Return a query for each of an image's objects, given the logits ``(Q, num_classes)`` of a layer.

    Object k gets the best of the queries k, k + 3, k + 6...: others in each layer, and no query has two objects.
    """
    best = logits.amax(-1)
    return torch.stack([3 * best[k::3].argmax() + k for k in range(count)])


def load_authors(checkout: str, root: str = 'src', parts: tuple[str, ...] = PARTS) -> None:
    """Make the authors' modules importable, without the imports of their packages."""
    for part in ('', '.core', '.misc', '.misc.dist_utils', *parts):
        name = f'{root}{part}'
        module: Any = ModuleType(name)
        module.__path__ = [str(Path(checkout, *name.split('.')))]
        sys.modules[name] = module
    core, distributed = (sys.modules[f'{root}.{name}'] for name in ('core', 'misc.dist_utils'))
    core.register = lambda *args, **kwargs: lambda kind: kind  # type: ignore[attr-defined]
    distributed.get_world_size, distributed.is_dist_available_and_initialized = lambda: 1, lambda: False  # type: ignore


def read_config(path: Path) -> dict[str, Any]:
    """Return the settings of a file, which includes others."""
    import yaml

    found = yaml.safe_load(path.read_text())
    merged: dict[str, Any] = {}
    for part in [read_config(path.parent / name) for name in found.pop('__include__', [])] + [found]:
        for key, value in part.items():
            merged[key] = {**merged[key], **value} if isinstance(merged.get(key), dict) else value
    return merged


def build(config: dict[str, Any]) -> tuple[torch.nn.ModuleDict, Any]:
    """Return the authors' network and criterion."""
    from src.nn.backbone.hgnetv2 import HGNetv2
    from src.zoo.dfine import dfine_decoder
    from src.zoo.dfine.dfine_criterion import DFINECriterion
    from src.zoo.dfine.hybrid_encoder import HybridEncoder
    from src.zoo.dfine.matcher import HungarianMatcher

    leave_out_noise(dfine_decoder)
    backbone = {**config['HGNetv2'], 'pretrained': False}
    del backbone['local_model_dir']
    parts = dict(
        backbone=HGNetv2(**backbone),
        encoder=HybridEncoder(**config['HybridEncoder']),
        decoder=dfine_decoder.DFINETransformer(**{**config['DFINETransformer'], **NUMBERS}),
    )
    return torch.nn.ModuleDict(parts), build_criterion(DFINECriterion, HungarianMatcher, config)


def build_criterion(kind: Any, matcher: Any, config: dict[str, Any]) -> Any:
    options = dict(config[kind.__name__])
    costs = {key: value for key, value in options.pop('matcher').items() if key != 'type'}
    return kind(matcher(**costs, use_focal_loss=True), num_classes=CLASSES, **options)


def leave_out_noise(decoder: Any) -> None:
    """Replace what makes the denoising queries of an authors' module, once."""
    make = decoder.get_contrastive_denoising_training_group
    if isinstance(make, functools.partial):
        return

    def without_noise(*args: Any, label_noise_ratio: float, box_noise_scale: float, **kwargs: Any) -> Any:
        torch.set_default_dtype(torch.float64)
        found = make(*args, label_noise_ratio=0.0, box_noise_scale=1e-9, **kwargs)
        torch.set_default_dtype(torch.float32)
        return found

    decoder.get_contrastive_denoising_training_group = functools.partial(without_noise)


def record(
    network: torch.nn.ModuleDict,
    criterion: Any,
    weight: Callable[[str, tuple[int, ...]], torch.Tensor] = weight,
    largest: int = 132,
    **groups: dict[str, Any],
) -> dict[str, Any]:
    """Give a network random weights and return the arrays of a golden file.

    Losses are those of each group of options; gradients those of parameters of at most ``largest`` numbers.
    """
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign] # normalization and losses cast in between
    state = network.state_dict()
    names = [name for name in state if not is_computed(name)]
    arrays: dict[str, Any] = {
        f'setting/{name}': state[name].numpy().copy()
        for name in state.keys() - set(names)
        if not name.endswith('num_batches_tracked')
    }
    network.load_state_dict({name: weight(name, tuple(state[name].shape)) for name in names}, strict=False)
    arrays['names'] = np.array(names)
    arrays['shapes'] = np.array(['x'.join(map(str, state[name].shape)) for name in names])
    network.double()
    for module in network.modules():
        if hasattr(module, 'num_points_scale'):  # 1/3 and 1/6 were float32
            module.num_points_scale = 1 / (1 / module.num_points_scale).round()

    with torch.no_grad():
        found = predict(network.eval())
    arrays.update(logits=found['pred_logits'].numpy(), boxes=found['pred_boxes'].numpy())

    network.train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    targets = [dict(labels=torch.tensor(label), boxes=torch.tensor(box).double()) for label, box in OBJECTS]
    found = predict(network, targets)
    torch.set_default_dtype(torch.float64)  # for what the losses compute of numbers
    losses = {group: criterion(found, targets, **options) for group, options in groups.items()}
    criterion.matcher.forward = match_given
    losses['given'] = criterion(found, targets)
    torch.set_default_dtype(torch.float32)
    for group, values in losses.items():
        arrays.update({f'{group}/{name}': loss.detach().numpy() for name, loss in values.items()})
    sum(losses[group][name] for group in ('loss', 'given') for name in losses[group]).backward()
    for name, parameter in network.named_parameters():
        if parameter.grad is not None and parameter.numel() <= largest and 'backbone' not in name:
            arrays[f'grad/{name}'] = parameter.grad.numpy()
    return arrays


def match_given(outputs: dict[str, torch.Tensor], targets: list[dict[str, torch.Tensor]], **_: Any) -> dict[str, Any]:
    """Return the given matches, in the place of what the authors' matcher returns."""
    counts = [len(target['labels']) for target in targets]
    pairs = zip(outputs['pred_logits'], counts)
    return dict(indices=[(given_queries(logits, count), torch.arange(count)) for logits, count in pairs])


def predict(network: torch.nn.ModuleDict, targets: Any = None) -> dict[str, Any]:
    return network['decoder'](network['encoder'](network['backbone'](images())), targets)


def make(file: str, configs: Mapping[str, Path], build: Callable[..., tuple[Any, Any]], largest: int = 132) -> None:
    """Write the arrays of the networks that are built from the authors' configs."""
    found = {}
    for kind, path in configs.items():
        torch.manual_seed(0)
        found[kind] = record(*build(read_config(path)), largest=largest, loss={})
    save(file, found)


def save(file: str, arrays: dict[str, dict[str, Any]]) -> None:
    """Write the arrays of networks by their kinds."""
    found = {f'{kind}/{name}': array for kind, group in arrays.items() for name, array in group.items()}
    np.savez_compressed(Path(__file__).parents[1] / 'data' / file, **found)


def main(checkout: str) -> None:
    load_authors(checkout)
    make('dfine.npz', {size: Path(checkout, f'configs/dfine/dfine_hgnetv2_{size}_coco.yml') for size in SIZES}, build)


if __name__ == '__main__':
    main(*sys.argv[1:])
