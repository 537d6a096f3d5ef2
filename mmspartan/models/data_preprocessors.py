"""Multi-scale training of RT-DETR: each batch in a size of its own."""

import random

import torch
from mmdet.models.data_preprocessors import BatchSyncRandomResize
from mmengine.logging import MessageHub
from mmengine.registry import MODELS


@MODELS.register_module()
class BatchRandomChoiceResize(BatchSyncRandomResize):
    """mmdet's ``BatchSyncRandomResize`` with sizes from a list, a new one for each batch.

    The choice depends on the number of the iteration alone: all processes make the same without a message, and a
    resumed run goes on with the same.

    Args:
        sizes (list[int]): Heights to choose from, each as likely as it stands in the list; the width follows.
    """

    def __init__(self, sizes: list[int]):
        super().__init__(random_size_range=(min(sizes), max(sizes)), interval=1)
        self.sizes = sizes

    def _get_random_size(self, aspect_ratio: float, device: torch.device) -> tuple[int, int]:
        size = random.Random(MessageHub.get_current_instance().get_info('iter')).choice(self.sizes)
        return size, round(size * aspect_ratio)
