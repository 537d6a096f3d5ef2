"""A config file for converted weights of any widths."""

import copy
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..checkpoints.checkpoint import AtomicLocalBackend
from .files import check_target


def write_config(path: str | Path, base: str, model: dict[str, Any], source: str, checkpoint: str) -> None:
    """Write a config that inherits from one of this package and builds the model of converted weights.

    Args:
        path: File to write.
        base: Name of the config to inherit from, such as ``'spartan_t_in1k'``.
        model: Options of the model. ``backbone`` and ``arch`` replace the base's where they have a ``type`` or are a
            dict; everything else is merged into it.
        source: The file that was converted, for a comment.
        checkpoint: The converted file, for a comment.

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
    content = (
        f"# {source}, converted to {checkpoint}.\n_base_ = __import__('mmspartan').config_path({base!r})\n\n{text}\n"
    )
    AtomicLocalBackend().put_text(content, Path(path).resolve())
