"""A config file for converted or pruned weights of any widths."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..checkpoints.checkpoint import AtomicLocalBackend
from ..configs import config_path, list_configs
from .files import check_target


def write_config(path: str | Path, base: str, model: dict[str, Any], comment: str, lines: Sequence[str] = ()) -> None:
    """Write a config that inherits from another and builds the model of weights with other widths.

    Args:
        base: Config to inherit from: a file, or the name of one of this package, such as ``'spartan_t_in1k'``.
        model: Options of the model. ``backbone`` and ``arch`` replace the base's where they have a ``type`` or are a
            dict; everything else is merged into it.
        comment: What the weights are.
        lines: Further lines of the config.

    Raises:
        InputError: If the file cannot be written.
    """
    check_target(path)
    model = copy.deepcopy(model)
    backbone = model.get('backbone', {})
    if 'type' in backbone:
        backbone['_delete_'] = True
    elif isinstance(backbone.get('arch'), dict):
        backbone['arch']['_delete_'] = True
    text = Config(dict(model=model)).pretty_text.strip()
    file = Path(base).resolve()
    if file.is_file():  # a file of this package by its name, so that the written one can be moved
        base = next((name for name in list_configs() if Path(config_path(name)).resolve() == file), str(file))
    shown = repr(base) if Path(base).is_file() else f"__import__('mmspartan').config_path({base!r})"
    content = '\n'.join([f'# {comment}', f'_base_ = {shown}', '', text, *lines, ''])
    AtomicLocalBackend().put_text(content, Path(path).resolve())
