"""Names of wrong entries of a config: of those whose constructor fails, and of types that fail far from the cause."""

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from numbers import Real
from pathlib import Path
from typing import Any

from mmengine.fileio.backends.registry_utils import backends
from mmengine.registry import build_from_cfg

from ..compat import locals_of
from ..errors import InputError

# Arguments of mmengine's OptimWrapper for torch's clip_grad_norm_ and clip_grad_value_.
CLIPPING = ('type', 'max_norm', 'norm_type', 'error_if_nonfinite', 'foreach', 'clip_value')
COSTS = ('weight', 'alpha', 'gamma', 'eps')  # numbers of a matching cost


def _items(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _is_from_0(value: Any) -> bool:
    return isinstance(value, Real) and 0 <= float(value) < math.inf


# What entries may be apart from None, by their keys at any depth (`*`: any). Other wrong types fail in a constructor.
KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    'model train_dataloader val_dataloader test_dataloader train_cfg val_cfg test_cfg optim_wrapper optimizer '
    'default_hooks env_cfg randomness dataset sampler data_preprocessor backbone decoder layer_cfg dn_cfg assigner '
    'paramwise_cfg': ('a dict', lambda value: isinstance(value, Mapping)),
    'default_hooks.*': ('a dict', lambda value: isinstance(value, Mapping) or hasattr(value, 'priority')),
    'custom_hooks param_scheduler val_evaluator test_evaluator head bbox_head pipeline': (
        'a dict or a list of dicts',
        lambda value: all(isinstance(item, Mapping) or hasattr(item, 'priority') for item in _items(value)),
    ),
    'neck': (
        'a dict or dicts in a list',
        lambda value: len(_items(value)) > 0 and all(isinstance(item, Mapping) for item in _items(value)),
    ),
    'match_costs': (
        'a dict or a list of dicts, whose weight, alpha, gamma and eps are numbers of at least 0',
        lambda value: all(
            isinstance(item, Mapping) and all(_is_from_0(item.get(key, 1)) for key in COSTS) for item in _items(value)
        ),
    ),
    'clip_grad': (
        f'a dict of {", ".join(CLIPPING)}',
        lambda value: isinstance(value, Mapping) and value.keys() <= set(CLIPPING),
    ),
    'clip_grad.norm_type': (
        "a number above 0 or 'inf'",
        lambda value: value == 'inf' or (isinstance(value, Real) and float(value) > 0),
    ),
    'constructor': ('the name of a class', lambda value: isinstance(value, str | type)),
    'data_root ann_file data_prefix.img work_dir': ('a path', lambda value: isinstance(value, str | os.PathLike)),
    'val_evaluator.ann_file test_evaluator.ann_file': (
        'the path of a file',
        lambda value: bool(value) and isinstance(value, str | os.PathLike),
    ),
    'meta_keys': (
        'a list of names',
        lambda value: isinstance(value, list | tuple) and all(isinstance(name, str) for name in value),
    ),
    'iou_mode': ('iou, iof or giou', lambda value: value in ('iou', 'iof', 'giou')),
    'scale': (
        'a number, a list or a dict',
        lambda value: isinstance(value, Real) or (isinstance(value, list | tuple | Mapping) and len(value) > 0),
    ),
    'interpolation': ('a name or a number', lambda value: isinstance(value, str | int | Enum)),
    'train_cfg.max_epochs train_cfg.max_iters pad_size_divisor': (
        'a whole number of at least 1',
        lambda value: type(value) is int and value > 0,
    ),
    'val_evaluator.topk test_evaluator.topk': (
        'numbers of at least 1',
        lambda value: all(type(k) is int and k > 0 for k in _items(value)),
    ),
    'num_workers': ('a whole number', lambda value: type(value) is int),
    'lr weight_decay momentum': ('a number', lambda value: isinstance(value, Real) and type(value) is not bool),
    'backend_args': (
        'a dict with backend',
        lambda value: isinstance(value, Mapping) and (not value or 'backend' in value),
    ),
    'backend_args.backend': (
        f'one of {", ".join(sorted(backends))}',
        lambda value: isinstance(value, str) and value in backends,
    ),
}
KIND_OF = {key: kind for keys, kind in KINDS.items() for key in keys.split()}
# Top-level entries that are checked: a config may also define variables with any other name.
ROOTS = re.compile(
    r'model|work_dir|env_cfg|randomness|optim_wrapper|param_scheduler|(default|custom)_hooks|(train|val|test)_\w+'
)
# Dicts whose keys are names that the user chooses.
NAMES = ('custom_keys', 'metainfo')


def check_config(cfg: Mapping, source: str | Path) -> None:
    """Check the types of a config's entries.

    Raises:
        InputError: If an entry has a wrong type, a data loader has no dataset, or an evaluation no metric. The message
            names ``source`` and the entry.
    """
    cfg = getattr(cfg, '_cfg_dict', cfg)  # a Config is not a Mapping

    def refuse(entry: str, problem: str) -> None:
        raise InputError(f'{source}: {entry}: {problem}', file=str(source), entry=entry)

    for phase in ('train', 'val', 'test'):
        loader, evaluator = cfg.get(f'{phase}_dataloader'), cfg.get(f'{phase}_evaluator')
        if isinstance(loader, Mapping) and not loader.get('dataset'):
            refuse(f'{phase}_dataloader.dataset', 'is missing')
        if isinstance(evaluator, list | tuple | Mapping) and not evaluator:
            refuse(f'{phase}_evaluator', 'is empty, must have at least one metric')
    for name, key, value in walk({key: value for key, value in cfg.items() if ROOTS.fullmatch(key)}):
        keys = [part for part in name.split('.') if not part.isdigit()]
        tried = ('.'.join(keys[-2:]), str(key), '.'.join([*keys[-2:-1], '*']))
        kind, is_valid = next((KIND_OF[each] for each in tried if each in KIND_OF), ('', callable))
        if kind and value is not None and not is_valid(value):
            refuse(name, f'is {value!r}, must be {kind}')


def walk(content: Any, parent: str = '') -> Iterator[tuple[str, str | int, Any]]:
    """Iterate over all entries below ``content`` with their names and keys, outer entries first."""
    for key, value in content.items() if isinstance(content, Mapping) else enumerate(content):
        name = f'{parent}.{key}'.lstrip('.')
        yield name, key, value
        if isinstance(value, Mapping | list | tuple) and key not in NAMES:
            yield from walk(value, name)


def entry_being_built(error: BaseException, cfg: Mapping) -> str:
    """Find the entry of a config whose constructor raised an error, from the frames of the traceback.

    Returns:
        str: The entry's name and plain values, such as ``model.bbox_head.loss_cls (type='FocalLoss', gamma=2.0)``;
        ``''`` if no constructor raised the error or the entry is not in the config.
    """
    built: list[Mapping] = [names['cfg'] for names in locals_of(error, build_from_cfg)]
    entries = [(name, value) for name, _, value in walk(getattr(cfg, '_cfg_dict', cfg)) if isinstance(value, Mapping)]
    for entry in reversed(built):  # the innermost dict may not be in the config but made by code
        found = [each for each in entries if _is_in(each[1], entry)]
        if found:
            name, _ = max(found, key=lambda each: len(each[1]))
            plain = [f'{key}={value!r}' for key, value in entry.items() if isinstance(value, Real | str | tuple)]
            return f'{name} ({", ".join(plain)[:200]})'
    return ''


def _is_in(value: Mapping, entry: Mapping) -> bool:
    """Whether an entry has all values of a config's one, to which a model may have added defaults."""
    if len(value) < min(2, len(entry)):
        return False
    return all(key in entry and entry[key] == each for key, each in value.items())
