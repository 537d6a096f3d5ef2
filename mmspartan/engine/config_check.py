"""Checks of the types in a config, since an object built from a wrong entry fails far from the cause."""

import os
import re
import traceback
from collections.abc import Iterator, Mapping
from numbers import Real
from pathlib import Path
from typing import Any

from mmengine.fileio.backends.registry_utils import backends
from mmengine.registry import build_from_cfg

from ..errors import InputError

# Entries that are a dict or None, by their key at any depth.
DICTS = (
    *('model', 'train_dataloader', 'val_dataloader', 'test_dataloader', 'optim_wrapper', 'optimizer', 'default_hooks'),
    *('train_cfg', 'val_cfg', 'test_cfg', 'dataset', 'sampler', 'backbone', 'data_preprocessor'),
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
    'bbox_head',
    'pipeline',
    'match_costs',
)
# Top-level entries that are checked: a config may also define variables with any other name.
ROOTS = re.compile(
    r'model|work_dir|env_cfg|randomness|optim_wrapper|param_scheduler|(default|custom)_hooks|(train|val|test)_\w+'
)
# Dicts whose keys are names that the user chooses.
NAMES = ('custom_keys', 'metainfo')
# Entries that need a ``type`` where they are a dict; those of the model by their whole name.
TYPED = ('sampler', 'batch_sampler', 'collate_fn', 'dataset', 'assigner', 'model.backbone', 'model.bbox_head')
TYPED_LISTS = ('pipeline', 'match_costs', 'custom_hooks', 'param_scheduler', 'val_evaluator', 'test_evaluator')
# Types of plain values; None is accepted here.
PATH, COUNT, NUMBER = 'a path', 'a whole number', 'a number'
PLAIN = {
    **dict.fromkeys(('data_root', 'ann_file', 'data_prefix.img', 'work_dir'), PATH),
    **dict.fromkeys(('num_workers', 'batch_size', 'max_epochs', 'max_iters', 'pad_size_divisor'), COUNT),
    **dict.fromkeys(('lr', 'weight_decay', 'momentum', 'loss_weight', 'weight'), NUMBER),
}
NEEDED = {'model': 'type', 'train_dataloader': 'dataset', 'val_dataloader': 'dataset', 'test_dataloader': 'dataset'}


def check_config(cfg: Mapping, source: str | Path) -> None:
    """Check the types of a config's entries.

    Raises:
        InputError: If an entry has a wrong type, or a required ``type`` or ``dataset`` is missing. The message names
            ``source`` and the entry.
    """
    cfg = getattr(cfg, '_cfg_dict', cfg)  # a Config is not a Mapping
    for key, needed in NEEDED.items():
        if isinstance(cfg.get(key), Mapping) and not cfg[key].get(needed):
            raise InputError(f'{source}: {key}.{needed}: is missing')
    for key in ('val_evaluator', 'test_evaluator'):
        if isinstance(cfg.get(key), list | tuple | Mapping) and not cfg[key]:
            raise InputError(f'{source}: {key}: is empty, must have at least one metric')
    for entry in _walk({key: value for key, value in cfg.items() if ROOTS.fullmatch(key)}):
        _check(*entry, source)


def _walk(content: Any, parent: str = '') -> Iterator[tuple[str, str | int, Any]]:
    """Iterate over all entries below ``content`` with their names and keys, outer entries first."""
    for key, value in content.items() if isinstance(content, Mapping) else enumerate(content):
        name = f'{parent}.{key}'.lstrip('.')
        yield name, key, value
        if isinstance(value, Mapping | list | tuple) and key not in NAMES:
            yield from _walk(value, name)


def _check(name: str, key: str | int, value: Any, source: str | Path) -> None:
    is_dict = value is None or isinstance(value, Mapping)
    if (key in DICTS or name == f'default_hooks.{key}') and not is_dict:
        raise InputError(f'{source}: {name}: is {value!r}, must be a dict')
    if key in LISTS and not _is_list_of_dicts(value):
        raise InputError(f'{source}: {name}: is {value!r}, must be a dict or a list of dicts')
    for item, entry in _typed(key, value, name):
        if not item.keys() & {'type', 'metrics'}:  # an evaluator with `metrics` has a default type
            raise InputError(f'{source}: {entry}.type: is missing')
    kind = PLAIN.get(str(key)) or PLAIN.get('.'.join(name.split('.')[-2:]))
    if kind and value is not None and not _is_plain(value, kind):
        raise InputError(f'{source}: {name}: is {value!r}, must be {kind}')
    if key == 'backend_args' and isinstance(value, Mapping) and 'backend' in value:
        _check_backend(value['backend'], f'{name}.backend', source)
    if key in ('constructor', 'ema_type', 'type') and not (callable(value) or (isinstance(value, str) and value)):
        raise InputError(f'{source}: {name}: is {value!r}, must be a name')


def _check_backend(backend: Any, name: str, source: str | Path) -> None:
    if not isinstance(backend, str) or backend not in backends:
        raise InputError(f'{source}: {name}: is {backend!r}, must be one of {", ".join(sorted(backends))}')


def _is_plain(value: Any, kind: str) -> bool:
    if kind == PATH:
        return isinstance(value, str | os.PathLike)
    return isinstance(value, int if kind == COUNT else Real) and not isinstance(value, bool)


def _typed(key: str | int, value: Any, name: str) -> Iterator[tuple[Mapping, str]]:
    """Return the dicts in an entry that need a ``type``, with their names."""
    # a dict of param_scheduler may hold one list for each optimizer
    items = []
    if key in TYPED_LISTS and isinstance(value, list | tuple):
        items = [(item, f'{name}.{i}') for i, item in enumerate(value)]
    elif key in TYPED or name in TYPED or (key in TYPED_LISTS and key != 'param_scheduler'):
        items = [(value, name)]
    return ((item, entry) for item, entry in items if isinstance(item, Mapping) and item)


def entry_being_built(error: BaseException, cfg: Mapping) -> str:
    """Find the entry of a config whose constructor raised an error, from the frames of the traceback.

    Returns:
        str: The entry's name and plain values, such as ``model.bbox_head.loss_cls (type='FocalLoss', gamma=2.0)``;
        ``''`` if no constructor raised the error or the entry is not in the config.
    """
    built: list[Mapping] = [
        frame.f_locals['cfg']
        for frame, _ in traceback.walk_tb(error.__traceback__)
        if frame.f_code is build_from_cfg.__code__
    ]
    for entry in reversed(built):  # the innermost dict may not be in the config but made by code
        for name, _, value in _walk(getattr(cfg, '_cfg_dict', cfg)):
            if isinstance(value, Mapping) and value == entry:
                plain = [f'{key}={value!r}' for key, value in entry.items() if not isinstance(value, Mapping | list)]
                return f'{name} ({", ".join(plain)[:200]})'
    return ''


def _is_list_of_dicts(value: Any) -> bool:
    values = value if isinstance(value, list | tuple) else [value]
    return value is None or all(isinstance(item, Mapping) or hasattr(item, 'priority') for item in values)


def inner_datasets(cfg: Any, name: str) -> Iterator[tuple[str, dict]]:
    """Iterate over the datasets in a loader's config, without their wrappers, and their names in it."""
    wrapped = cfg.get('datasets') if isinstance(cfg, dict) else None
    if isinstance(cfg, dict) and 'dataset' in cfg:
        yield from inner_datasets(cfg['dataset'], f'{name}.dataset')
    elif isinstance(wrapped, list | tuple):
        for i, dataset in enumerate(wrapped):
            yield from inner_datasets(dataset, f'{name}.datasets[{i}]')
    elif isinstance(cfg, dict):
        yield name, cfg
