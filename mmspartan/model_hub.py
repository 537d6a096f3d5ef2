"""Models of this package by name, and their names in mmpretrain's ``list_models``, ``get_model`` and inferencer."""

import copy
import logging
import re
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn

from .checkpoints.safetensors_file import SUFFIX, read_safetensors
from .configs import PACKAGE, SCHEME, config_path
from .errors import InputError
from .stack import has_mmpretrain

WEIGHTS = PACKAGE / 'pretrained'


def get_model(name: str, pretrained: str | Path | bool = False, device: str = 'cpu', **overrides: Any) -> nn.Module:
    """Build a classifier or detector, in evaluation mode.

    Args:
        name: Name of a config of this package, see :func:`~mmspartan.configs.list_configs`, or a config file.
        pretrained: Checkpoint to load, or True for the weights that come with this package, see :func:`weights`. False
            for random weights.
        device: ``cpu``, ``cuda:0``, ...
        **overrides: Entries of the config's ``model``, as ``head=dict(num_classes=5)``.

    Returns:
        nn.Module: The model; ``dataset_meta['classes']`` are the names of its classes if the checkpoint has them.

    Raises:
        FileNotFoundError: If there is no such config. The message names similar ones.
        InputError: If the checkpoint is missing or does not fit the model, or no weights of this name come with this
            package.
    """
    is_file = Path(name).is_file()
    path = name if is_file else config_path(name)
    if pretrained is True:
        pretrained = weights(name if is_file else Path(path).stem)
    cfg = Config.fromfile(path)
    cfg.merge_from_dict(dict(model=copy.deepcopy(overrides)))  # mmengine takes _delete_ out of what it merges
    if pretrained is not False:
        if not pretrained:
            raise InputError(
                f'pretrained={pretrained!r}: must be the path of a checkpoint, or False for random weights'
            )
        from .deploy.load import load_model

        model: Any = load_model(cfg, str(pretrained))
    else:
        init_default_scope(cfg.get('default_scope') or 'mmengine')
        model = MODELS.build(cfg.model)
        init_quietly(model)
    # where functions of mmdet and inferencers of mmpretrain look
    model.cfg = model._config = cfg
    model._dataset_meta = getattr(model, 'dataset_meta', {})
    return model.to(device).eval()


def weights(name: str) -> str:
    """Return the path of weights that are part of this package, for ``Pretrained`` initializations and ``get_model``.

    In a config::

        init_cfg=dict(type='Pretrained', checkpoint=__import__('mmspartan').weights(NAME), prefix='backbone.')

    Args:
        name: Name of the config that they were trained with.

    Raises:
        InputError: If there are none. The message lists the available weights.
    """
    path = WEIGHTS / f'{name}{SUFFIX}'
    if not path.is_file():
        known = ', '.join(sorted(path.stem for path in WEIGHTS.glob(f'*{SUFFIX}')))
        raise InputError(
            f'mmspartan has no weights of {name}, but of {known}; give the path of a checkpoint: of your own training, '
            "or the authors' converted by tools/model_converters/ (docs/weights.md lists them)"
        )
    return str(path)


@CheckpointLoader.register_scheme(prefixes=[re.escape(str(WEIGHTS)), SCHEME], force=True)
def load_from_package(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Let mmengine read the weights of this package by path or as ``mmspartan://NAME``, in a Runner of any project."""
    path = weights(filename.removeprefix(SCHEME)) if filename.startswith(SCHEME) else filename
    return read_safetensors(path, map_location)


def init_quietly(model: Any) -> None:
    """Initialize the weights without mmengine's line on each of them."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        model.init_weights()
    finally:
        logger.setLevel(level)


def register_models() -> None:
    """Register the models of ``configs/metafile_classification.yml`` in mmpretrain, if it is installed."""
    if not has_mmpretrain():
        return
    from mmpretrain.apis.model import ModelHub

    if not ModelHub.has('spartan_t_in1k'):
        configs = Path(config_path('spartan_t_in1k')).parent
        ModelHub.register_model_index(configs / 'metafile_classification.yml', config_prefix=configs.parent)
