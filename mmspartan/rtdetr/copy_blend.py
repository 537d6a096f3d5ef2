"""CopyBlend of DEIMv2's dense one-to-one matching (Huang et al., arXiv 2509.20787): objects are blended into images.

Differs from the authors' code, whose data loader blends on the CPU:

* The data preprocessor blends, on the device of the model, after one copy of the boxes to the host.
* ``min_area`` is that of the box in the network's input. The authors take the area that the annotation file has.
* In a batch of padded images neither objects nor margins reach into the padding. An object that is larger than an image
  is left out.
"""

import random
from collections.abc import Iterator, Sequence

import torch
from mmdet.structures import SampleList
from mmengine.registry import MODELS
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ..checks import check_integers, check_numbers, check_range


@MODELS.register_module()
class BatchCopyBlend(nn.Module):
    """Blends objects of a batch with a margin around them into its images, at random positions.

    Each image gets ``num_objects`` of all objects of the batch, its own included. Their labels come with them, their
    boxes are cut to whole pixels. For boxes only: masks and key points are copied, and not moved. Random numbers are
    Python's, as in :class:`~mmspartan.rtdetr.mix_up.BatchMixUp`.

    Args:
        prob (float): Probability that objects are blended into a batch, in [0, 1]. Defaults to 0.5.
        ratio (Sequence[float]): Lowest and highest weight of the image itself, in [0, 1]; the object has the rest. A
            batch has one. Defaults to (0.45, 0.55).
        num_objects (int): Objects an image, fewer if the batch has fewer. Defaults to 3.
        min_area (float): Smallest area of a box, cut to whole pixels, in square pixels, at least 1. Defaults to 100.
        margin (Sequence[float]): Lowest and highest margin on each side, as a share of the object's width and height,
            in [0, inf). It ends where one of the two images ends. Defaults to (0.1, 0.25).

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        prob: float = 0.5,
        ratio: Sequence[float] = (0.45, 0.55),
        num_objects: int = 3,
        min_area: float = 100.0,
        margin: Sequence[float] = (0.1, 0.25),
    ):
        super().__init__()
        check_numbers('BatchCopyBlend', '[0, 1]', prob=prob)
        check_range('BatchCopyBlend', '[0, 1]', ratio=ratio)
        check_integers('BatchCopyBlend', num_objects=num_objects)
        check_numbers('BatchCopyBlend', '[1, inf)', min_area=min_area)
        check_range('BatchCopyBlend', '[0, inf)', margin=margin)
        self.prob, self.ratio, self.num_objects = prob, tuple(ratio), num_objects
        self.min_area, self.margin = min_area, tuple(margin)

    def forward(self, inputs: Tensor, data_samples: SampleList) -> tuple[Tensor, SampleList]:
        """Blend objects into images ``(B, 3, H, W)``, and append them to the instances."""
        if random.random() >= self.prob:
            return inputs, data_samples
        objects = InstanceData.cat([sample.gt_instances for sample in data_samples])
        sources, corners = [], []
        for i, box in zip(owners(data_samples), objects.bboxes.tolist()):
            height, width = data_samples[i].img_shape[:2]
            x1, y1, x2, y2 = (min(max(int(value), 0), end) for value, end in zip(box, (width, height) * 2))
            sources.append((inputs[i], height, width))
            corners.append((x1, y1, x2, y2))
        large = [i for i, (x1, y1, x2, y2) in enumerate(corners) if (x2 - x1) * (y2 - y1) >= self.min_area]
        weight = 1 - random.uniform(*self.ratio)
        blended, samples = inputs.clone(), [sample.clone() for sample in data_samples]
        for image, sample in zip(blended, samples):
            rows, columns = sample.img_shape[:2]
            chosen, boxes = [], []
            for i in random.sample(large, min(self.num_objects, len(large))):
                (source, height, width), (x1, y1, x2, y2) = sources[i], corners[i]
                if x2 - x1 > columns or y2 - y1 > rows:
                    continue
                x, y = random.randint(0, columns - x2 + x1), random.randint(0, rows - y2 + y1)
                chosen.append(i)
                boxes.append([x, y, x + x2 - x1, y + y2 - y1])
                margin = random.uniform(*self.margin)
                rows_from, rows_to = sides(margin, (y1, y2, height), (y, rows))
                columns_from, columns_to = sides(margin, (x1, x2, width), (x, columns))
                image[:, rows_to, columns_to].lerp_(source[:, rows_from, columns_from], weight)
            if chosen:
                added = objects[torch.tensor(chosen)]
                added.bboxes = objects.bboxes.new_tensor(boxes)
                sample.gt_instances = InstanceData.cat([sample.gt_instances, added])
        return blended, samples


def owners(data_samples: SampleList) -> Iterator[int]:
    """Iterate over the index of the image of each object."""
    for i, sample in enumerate(data_samples):
        yield from [i] * len(sample.gt_instances)


def sides(margin: float, source: tuple[int, int, int], target: tuple[int, int]) -> tuple[slice, slice]:
    """Return where an object with its margin is along one axis, in the image it comes from and in the other one.

    Args:
        margin: Share of the object's length.
        source: Where the object begins and ends, and the length of the image it comes from.
        target: Where it begins in the other image, and the length of that.
    """
    begin, end, length = source
    start, other_length = target
    spread, stop = int(margin * (end - begin)), start + end - begin
    before, after = min(spread, begin, start), min(spread, length - end, other_length - stop)
    return slice(begin - before, end + after), slice(start - before, stop + after)
