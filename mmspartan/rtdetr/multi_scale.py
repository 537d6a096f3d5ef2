"""Multi-scale training of RT-DETR: each batch in a size of its own."""

import random
from collections.abc import Sequence

from mmdet.structures import SampleList
from mmengine.logging import MessageHub
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ..checks import is_integer, refuse

# The coarsest feature map has a 32nd of the input's size, so that all scales fit on each other.
DIVISOR = 32


@MODELS.register_module()
class BatchRandomChoiceResize(nn.Module):
    """Resize a batch to a height from a list, and to the width that keeps its aspect, rounded to a multiple of 32.

    The height depends on the number of the iteration alone: all processes choose the same without a message, and a
    resumed run goes on with the same. mmdet's ``BatchSyncRandomResize`` resizes a batch to the aspect of the batch
    before, and to widths of any size.

    Args:
        sizes (Sequence[int]): Heights to choose from, positive multiples of 32, each as likely as it stands in the
            list.

    Raises:
        ValueError: If ``sizes`` is empty or holds anything else.
    """

    def __init__(self, sizes: Sequence[int]):
        super().__init__()
        is_list = isinstance(sizes, Sequence) and not isinstance(sizes, str)
        if not is_list or not sizes or any(not is_integer(size) or size % DIVISOR for size in sizes):
            refuse(type(self).__name__, 'sizes', f'a list of positive multiples of {DIVISOR}', sizes)
        self.sizes = tuple(sizes)

    def forward(self, inputs: Tensor, data_samples: SampleList) -> tuple[Tensor, SampleList]:
        """Resize images ``(B, 3, H, W)`` and the boxes of their samples, those of ignored objects included."""
        shape = self.choose(*inputs.shape[-2:])
        if shape == tuple(inputs.shape[-2:]):
            return inputs, data_samples
        scales = [new / old for new, old in zip(shape, inputs.shape[-2:])]
        for sample in data_samples:
            sizes = {
                name: tuple(round(side * scale) for side, scale in zip(sample.get(name), scales))
                for name in ('img_shape', 'pad_shape')
            }
            sample.set_metainfo({**sizes, 'batch_input_shape': shape})
            for name in ('gt_instances', 'ignored_instances'):
                if name in sample:
                    instances = sample.get(name)
                    instances.bboxes = instances.bboxes * instances.bboxes.new_tensor(scales[::-1] * 2)
        return interpolate(inputs, size=shape, mode='bilinear', align_corners=False), data_samples

    def choose(self, height: int, width: int) -> tuple[int, int]:
        """Height and width, in this iteration, of a batch of this height and width."""
        iteration = MessageHub.get_current_instance().get_info('iter', 0)
        size = random.Random(iteration).choice(self.sizes)
        return size, max(round(size * width / height / DIVISOR), 1) * DIVISOR
