"""The config that trains on a prepared dataset."""

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from ...checkpoints.pretrained import pretrained_settings
from ...errors import InputError
from .write import literal, relative_to

CONFIG = """\
# Written by tools/prepare_dataset.py from {source}. Train with
#     python tools/train.py {config} --auto-scale-lr
_base_ = __import__('mmspartan').config_path({base})
work_dir = {work_dir}

locals().update(
    __import__('mmspartan').own_data(
        _base_,
        root="{{{{ fileDirname }}}}",
        classes={classes},
        train=('train.json', {train}),
        val=('val.json', {val}),{test}
        image_size={image_size},  # width, height
        max_epochs={max_epochs},
        batch_size={batch_size},
        weights={weights},
    )
)
"""


@dataclass
class Training:
    """What a config says besides the dataset.

    Args:
        base: Name of a detector of this package.
        image_size: Width and height.
        max_epochs: Length of the training.
        batch_size: Of a process.
        weights: Checkpoint of ``base`` to start from; the package's choice by default.
    """

    base: str
    image_size: tuple[int, int]
    max_epochs: int
    batch_size: int
    weights: Path | None = None


def config_text(training: Training, out: Path, origin: str, classes: list[str], folders: dict[str, str]) -> str:
    """Return the text of ``out/config.py``.

    Args:
        training: What to train.
        out: Folder of the config.
        origin: Where the dataset comes from, for the first line.
        classes: Names in the order of their labels.
        folders: Folder of the images of each split, as seen from ``out``.
    """
    test = f"\n        test=('test.json', {literal(folders['test'])})," if 'test' in folders else ''
    return CONFIG.format(
        source=literal(origin),
        config=literal(shlex.quote((out / 'config.py').as_posix()))[1:-1],
        base=literal(training.base),
        work_dir=literal(f'work_dirs/{out.name}'),
        classes=literal(tuple(classes)),
        train=literal(folders['train']),
        val=literal(folders['val']),
        test=test,
        image_size=training.image_size,
        max_epochs=training.max_epochs,
        batch_size=training.batch_size,
        weights=_weights_text(training.weights, out),
    )


def _weights_text(weights: Path | None, out: Path) -> str:
    """Return the text of a checkpoint's path in the config, as seen from the config's folder."""
    if weights is None:
        return 'None'
    path = relative_to(weights, out)
    return literal(path) if os.path.isabs(path) else f'"{{{{ fileDirname }}}}/" + {literal(path)}'


def check_config(path: Path, classes: list[str], folders: dict[str, str]) -> None:
    """Read the config back, and raise InputError unless the names of the dataset come out of it as they are."""
    cfg = Config.fromfile(path)
    for split, folder in folders.items():
        dataset = cfg[f'{split}_dataloader'].dataset
        found = dataset.metainfo.classes, dataset.ann_file, dataset.data_prefix.img
        if found != (tuple(classes), f'{split}.json', folder):
            raise InputError(f'a config with these names cannot be read back: {classes}, {folder}')


def start_of(cfg: Config) -> str:
    """Return the name of the weights that the training of a config starts from."""
    pretrained = [settings['checkpoint'] for settings in pretrained_settings(cfg.model.backbone)]
    return cfg.get('load_from') or (f'{pretrained[0]} (the backbone)' if pretrained else 'random weights')
