"""Drawn predictions of a classifier in the colors of its images.

mmpretrain's hook draws the network's input as RGB, whereas mmpretrain loads images as BGR. Its files have the names of
the images without their folders, so that of equal names the last one is left.
"""

import os.path
from collections.abc import Sequence
from typing import Any

import cv2
from mmengine.structures import BaseDataElement
from mmpretrain.engine.hooks import VisualizationHook
from mmpretrain.registry import HOOKS

from .file_names import FileNames


@HOOKS.register_module()
class BGRVisualizationHook(VisualizationHook):
    """mmpretrain's ``VisualizationHook`` for BGR images, which keeps images of equal names apart.

    Args:
        min_side (int): Least width and height of a drawn image in pixels. Defaults to 240.
        *args, **kwargs: As in mmpretrain.
    """

    def __init__(self, *args: Any, min_side: int = 240, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.min_side, self.names, self.seen = min_side, FileNames(), 0

    def _draw_samples(
        self, batch_idx: int, data_batch: dict, data_samples: Sequence[BaseDataElement], step: int = 0
    ) -> None:
        if not self.enable:
            return
        first = self.seen if batch_idx else 0  # the last batch may be shorter than the others
        self.seen = first + len(data_samples)
        for i in range(-first % self.interval, len(data_samples), self.interval):
            image = data_batch['inputs'][i].permute(1, 2, 0).cpu().numpy().astype('uint8')[..., ::-1]
            factor = max(1, -(-self.min_side // min(image.shape[:2])))
            image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
            source = data_samples[i].get('img_path') or str(first + i)
            name = os.path.basename(source)
            options = dict(self.draw_args, image=image, data_sample=data_samples[i], step=step, name=name)
            if self.out_dir is not None:
                options['out_file'] = self.names.free(os.path.join(self.out_dir, f'{name}_{step}.png'), source)
            self._visualizer.visualize_cls(**options)
