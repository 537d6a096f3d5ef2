"""Check the kinds of a config's sections, since what is built of a wrong one fails far from the cause."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError

# Entries that are a dict where they are anything; a name may be one of several places.
DICTS = (
    *('model', 'train_dataloader', 'val_dataloader', 'test_dataloader', 'optim_wrapper', 'optimizer', 'default_hooks'),
    *('train_cfg', 'val_cfg', 'test_cfg', 'dataset', 'sampler', 'backbone', 'bbox_head', 'data_preprocessor'),
    *('env_cfg', 'randomness', 'decoder', 'layer_cfg', 'dn_cfg', 'assigner', 'paramwise_cfg', 'clip_grad'),
)
# Entries that are a dict or a list of dicts.
LISTS = (
    'custom_hooks',
    'param_scheduler',
    'val_evaluator',
    'test_evaluator',
    'neck',
    'head',
    'pipeline',
    'match_costs',
)
# Where these are looked for: a config may have variables of any name beside them.
ROOTS = re.compile(
    r'model|env_cfg|randomness|optim_wrapper|param_scheduler|(default|custom)_hooks|(train|val|test)_\w+'
)
NEEDED = {'model': 'type', 'train_dataloader': 'dataset', 'val_dataloader': 'dataset', 'test_dataloader': 'dataset'}


def check_config(cfg: Mapping, source: str | Path) -> None:
    """
    Raises:
        InputError: If a section is no dict (or list of dicts), has no ``type`` or ``dataset`` where it needs one, or a
            ``type`` is no name; names the file and the entry.
    """
    cfg = getattr(cfg, '_cfg_dict', cfg)  # a Config is no mapping
    for key, needed in NEEDED.items():
        if isinstance(cfg.get(key), Mapping) and not cfg[key].get(needed):
            raise InputError(f'{source}: {key}.{needed}: is missing')
    _check({key: value for key, value in cfg.items() if ROOTS.fullmatch(key)}, '', source)


def _check(content: Any, place: str, source: str | Path) -> None:
    for key, value in content.items() if isinstance(content, Mapping) else enumerate(content):
        name = f'{place}.{key}'.lstrip('.')
        if key in DICTS and not (value is None or isinstance(value, Mapping)):
            raise InputError(f'{source}: {name}: is {value!r}, must be a dict')
        if key in LISTS and not _is_list_of_dicts(value):
            raise InputError(f'{source}: {name}: is {value!r}, must be a dict or a list of dicts')
        if place == 'default_hooks' and not (value is None or isinstance(value, Mapping)):
            raise InputError(f'{source}: {name}: is {value!r}, must be a dict')
        if key == 'type' and not (callable(value) or (isinstance(value, str) and value)):
            raise InputError(f'{source}: {name}: is {value!r}, must be a name')
        if isinstance(value, Mapping | list | tuple):
            _check(value, name, source)


def _is_list_of_dicts(value: Any) -> bool:
    values = value if isinstance(value, list | tuple) else [value]
    return value is None or all(isinstance(item, Mapping) or hasattr(item, 'priority') for item in values)
