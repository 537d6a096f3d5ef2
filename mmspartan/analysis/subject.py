"""A trained model, and its input for the file of an image, as its test pipeline and data preprocessor make it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from torch import Tensor

from ..datasets.image_files import decode_image, read_image
from ..datasets.inner import first_test_dataset
from ..deploy.load import load_model
from ..errors import InputError


@dataclass(frozen=True)
class Example:
    """An image and the input that it becomes.

    Attributes:
        path: Of the file.
        original: The file's content, RGB uint8 ``(H, W, 3)``.
        image: The input before normalization and padding, RGB uint8 ``(h, w, 3)``: the original resized, or cropped.
        inputs: The normalized input, ``(1, 3, h', w')`` with ``h' >= h`` and ``w' >= w``.
        samples: The data sample of the image, in a list.
    """

    path: str
    original: np.ndarray
    image: np.ndarray
    inputs: Tensor
    samples: list[Any]


class Subject:
    """A classifier of MMPretrain or a detector of MMDetection with the weights of a checkpoint, in evaluation mode.

    Args:
        cfg: Its config.
        checkpoint: File of its weights.
        device: As of ``torch.device``.

    Raises:
        InputError: If the model is neither.
        ValueError: If the weights do not fit the model.
    """

    def __init__(self, cfg: Config, checkpoint: str, device: str = 'cpu'):
        self.name = Path(cfg.filename).stem
        scope = cfg.get('default_scope')
        if scope not in ('mmpretrain', 'mmdet'):
            raise InputError(f'{cfg.filename}: neither a classifier of MMPretrain nor a detector of MMDetection')
        self.is_detector = scope == 'mmdet'
        model: Any = load_model(cfg, checkpoint).to(device)
        self.model = model
        self.classes: tuple[str, ...] = model.dataset_meta.get('classes', ())
        steps = first_test_dataset(cfg)['pipeline']
        self._pipeline = Compose([step for step in steps if 'Load' not in step.type])

    def read(self, path: str | Path) -> Example:
        """Read an image; raises InputError, which names the file, if it cannot be read."""
        original = decode_image(read_image(path), path)
        size = original.shape[:2]
        packed = self._pipeline(dict(img=original, img_path=str(path), img_id=0, img_shape=size, ori_shape=size))
        inputs, sample = packed['inputs'], packed['data_samples']
        with torch.no_grad():
            batch = self.model.data_preprocessor(dict(inputs=[inputs], data_samples=[sample]))
        image = np.ascontiguousarray(inputs.flip(0).permute(1, 2, 0).numpy())
        return Example(str(path), mmcv.bgr2rgb(original), image, batch['inputs'], batch['data_samples'])

    def category(self, name: str) -> int:
        """Return the number of a class, given by its name or its number; raises InputError if there is none."""
        if name in self.classes:
            return self.classes.index(name)
        count = self.num_classes
        if name.isdecimal() and int(name) < count:
            return int(name)
        known = ', '.join(self.classes[:10]) + (', ...' if len(self.classes) > 10 else '')
        raise InputError(f'--category {name}: {self.name} has {known or "no names"}, or the numbers 0 to {count - 1}')

    @property
    def num_classes(self) -> int:
        head = getattr(self.model, 'bbox_head' if self.is_detector else 'head', None)
        return getattr(head, 'num_classes', len(self.classes))

    def label(self, category: int) -> str:
        """Return the name of a class, or its number where the checkpoint has no names."""
        return self.classes[category] if category < len(self.classes) else str(category)
