"""Paths of this package's configs, in a checkout and in an installed wheel."""

import os
from difflib import get_close_matches
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parent
SCHEME = 'mmspartan://'  # before the name of the package's weights, in configs that are used on several machines


def config_path(name: str) -> str:
    """Return the path of a config of this package, to inherit from or to load.

    mmengine's ``package::name`` supports only OpenMMLab's packages. For this package use::

        _base_ = __import__('mmspartan').config_path('spartan_t_in1k')          # in a config
        cfg = Config.fromfile(mmspartan.config_path('spartan_t_in1k'))          # in Python

    Args:
        name (str): The config's path below ``configs/``, with or without ``.py``.

    Returns:
        str: An absolute path.

    Raises:
        FileNotFoundError: If there is no such config. The message names similar ones.
    """
    root = _root()
    path = root / name if name.endswith('.py') else root / f'{name}.py'
    if not os.path.isfile(path):  # which also tells so of a name that is too long
        if name.startswith(('ablations/', 'kernels/', 'miniature/', 'peers/', 'photographs/')):
            raise FileNotFoundError(f'{name}: not in the package, but in projects/paper/configs/ of the repository')
        similar = get_close_matches(name, list_configs(), n=5, cutoff=0.5)
        advice = f'similar names: {", ".join(similar)}; ' if similar else ''
        raise FileNotFoundError(f'mmspartan has no config {name!r}; {advice}mmspartan.list_configs() lists all')
    return str(path.resolve())


def list_configs(part: str = '') -> list[str]:
    """Return the names of this package's configs that contain ``part``, for :func:`config_path`."""
    found = (path.relative_to(_root()).with_suffix('') for path in _root().rglob('*.py'))
    return sorted(path.as_posix() for path in found if path.parts[0] != '_base_' and part in path.as_posix())


def type_name(kind: Any) -> str:
    """Return the name of a type in a config, without scope: a text, or a class as pure-Python configs have it."""
    return (kind if isinstance(kind, str) else getattr(kind, '__name__', str(kind))).rpartition('.')[2]


def name_in_mmengine(kind: Any) -> str:
    """Return the name of a type if a config means one of mmengine by it; '' for other types."""
    path = kind if isinstance(kind, str) else f'{getattr(kind, "__module__", "?")}.{type_name(kind)}'
    return type_name(kind) if path.split('.')[0] in ('mmengine', path) else ''


def _root() -> Path:
    # an installed package has its configs in .mim, a checkout has them beside the package
    return next(path for path in (PACKAGE / '.mim' / 'configs', PACKAGE.parent / 'configs') if path.is_dir())
