"""Multi-scale training of RT-DETR, D-FINE and DEIM, with a random size for each batch."""

import random
from collections.abc import Sequence

from mmdet.structures import SampleList
from mmengine.logging import MessageHub
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ..checks import check_choices, is_integer, refuse
from ..ops.host_numbers import tensor_like

# Stride of the coarsest feature map.
DIVISOR = 32


@MODELS.register_module()
class BatchRandomChoiceResize(nn.Module):
    """Resizes a batch to a random height, and to the width that keeps its aspect, rounded to a multiple of 32.

    The height depends only on the number of the iteration: all processes choose the same one without communication, and
    so does a resumed run. mmdet's ``BatchSyncRandomResize`` resizes a batch to the aspect of the previous batch, and to
    widths that are no multiples of 32.

    Args:
        sizes (Sequence[int]): Heights in pixels, positive multiples of 32, chosen with equal probability. A repeated
            height is chosen more often.
        interpolation (str): ``'bilinear'``, or ``'nearest'`` as in the authors' code. Defaults to ``'bilinear'``.

    Raises:
        ValueError: If ``sizes`` is empty or has other elements, or the interpolation is another one.
    """

    def __init__(self, sizes: Sequence[int], interpolation: str = 'bilinear'):
        super().__init__()
        check_choices(type(self).__name__, ('bilinear', 'nearest'), interpolation=interpolation)
        is_list = isinstance(sizes, Sequence) and not isinstance(sizes, str)
        if not is_list or not sizes or any(not is_integer(size) or size % DIVISOR for size in sizes):
            refuse(type(self).__name__, 'sizes', f'a list of positive multiples of {DIVISOR}', sizes)
        self.sizes = tuple(sizes)
        self.interpolation = interpolation

    def forward(self, inputs: Tensor, data_samples: SampleList) -> tuple[Tensor, SampleList]:
        """Resize images ``(B, 3, H, W)`` and the boxes of their samples, including boxes of ignored objects."""
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
                    instances.bboxes = instances.bboxes * tensor_like(instances.bboxes, scales[::-1] * 2)
        return interpolate(inputs, size=shape, mode=self.interpolation), data_samples

    def choose(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width to which this iteration resizes a batch."""
        iteration = MessageHub.get_current_instance().get_info('iter', 0)
        size = random.Random(iteration).choice(self.sizes)
        return size, max(round(size * width / height / DIVISOR), 1) * DIVISOR
