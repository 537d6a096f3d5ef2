"""Numbers that tell whether a dataset fits a detector: by class, by size at the training resolution, by image."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from .source import Sample

# COCO's limits of areas in pixels, here of the network's input.
SMALL, MEDIUM = 32**2, 96**2


@dataclass
class SplitStatistics:
    """Numbers of one split; but for ``ignored``, of objects that count in training and evaluation."""

    images: int
    empty: int  # images without an object
    ignored: int  # objects
    objects: Counter  # by class
    images_of: Counter  # by class
    most: int  # objects in an image
    mean: float  # of the objects in an image
    sizes: tuple[int, int, int]  # small, medium and large objects at the training resolution
    tiny: int  # objects narrower or lower than 8 pixels there, a cell of the finest feature map


def statistics_of(samples: list[Sample], image_size: tuple[int, int]) -> SplitStatistics:
    """Count images and objects of a checked split, in images that are resized to ``image_size``, width and height."""
    used = [[item for item in sample.objects if not item.ignored] for sample in samples]
    counts = list(map(len, used))
    sides = np.array(
        [
            (
                (item.box[2] - item.box[0]) * image_size[0] / sample.size[0],
                (item.box[3] - item.box[1]) * image_size[1] / sample.size[1],
            )
            for sample, objects in zip(samples, used)
            if sample.size is not None
            for item in objects
        ]
    ).reshape(-1, 2)
    areas = sides.prod(axis=1)
    small, medium = int((areas < SMALL).sum()), int(((areas >= SMALL) & (areas < MEDIUM)).sum())
    return SplitStatistics(
        images=len(samples),
        empty=sum(not sample.objects for sample in samples),
        ignored=sum(item.ignored for sample in samples for item in sample.objects),
        objects=Counter(item.name for objects in used for item in objects),
        images_of=Counter(name for objects in used for name in {item.name for item in objects}),
        most=max(counts, default=0),
        mean=sum(counts) / max(1, len(counts)),
        sizes=(small, medium, len(areas) - small - medium),
        tiny=int((sides.min(axis=1) < 8).sum()) if len(sides) else 0,
    )
