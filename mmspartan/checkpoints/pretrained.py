"""Weights that a config's ``init_cfg = dict(type='Pretrained', ...)`` names: checked, and read without running code."""

from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.logging import print_log
from mmengine.model import PretrainedInit
from torch import nn

from ..errors import InputError
from .checkpoint import WEIGHTS_ONLY, check_weights_sound, read_checkpoint, state_dict_of


def pretrained_settings(module: nn.Module) -> list[dict]:
    """Return the ``Pretrained`` initializations of a module that name a file."""
    settings = getattr(module, 'init_cfg', None) or []
    settings = settings if isinstance(settings, list | tuple) else [settings]
    return [cfg for cfg in settings if cfg.get('type') in ('Pretrained', PretrainedInit) and cfg.get('checkpoint')]


@contextmanager
def pretrained_weights_only(model: nn.Module) -> Iterator[None]:
    """Within this context mmengine's initializers read files by ``read_checkpoint``, not by ``torch.load``."""
    settings = {id(cfg): cfg for module in model.modules() for cfg in pretrained_settings(module)}
    before = {key: cfg['checkpoint'] for key, cfg in settings.items()}
    for key, cfg in settings.items():
        cfg['checkpoint'] = WEIGHTS_ONLY + str(before[key]).removeprefix(WEIGHTS_ONLY)
    try:
        yield
    finally:
        for key, cfg in settings.items():
            cfg['checkpoint'] = before[key]


def check_pretrained(module: nn.Module, name: str) -> None:
    """Check that the file of a ``Pretrained`` initialization has a weight of the module, which mmengine does not check.

    Raises InputError, which names the option, the file and the prefix, if it has none.
    """
    for cfg in pretrained_settings(module):
        path = str(cfg['checkpoint']).removeprefix(WEIGHTS_ONLY)
        if '://' in path:
            continue
        weights, prefix = state_dict_of(read_checkpoint(path), path), cfg.get('prefix') or ''
        check_weights_sound(weights, path)
        prefix = prefix if not prefix or prefix.endswith('.') else f'{prefix}.'
        expected = {f'{prefix}{key}': value.shape for key, value in module.state_dict().items()}
        fitting = [key for key in expected if getattr(weights.get(key), 'shape', None) == expected[key]]
        if not fitting:
            found, wanted = (', '.join(list(names)[:2]) for names in (weights, expected))
            raise InputError(
                f'{name}.init_cfg: {path} has no weight of {type(module).__name__} with prefix={prefix!r}: it has '
                f'{found}, ...; looked for {wanted}, ...; set {name}.init_cfg.prefix'
            )
        print_log(f'{name}: {len(fitting)} of {len(expected)} weights from {path}', 'current')
