"""Numbers that tell whether a dataset fits a detector: by class, by size at the training resolution, by picture."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from .source import Picture

# COCO's limits of areas in pixels, here of the network's input.
SMALL, MEDIUM = 32**2, 96**2


@dataclass
class SplitStatistics:
    """Numbers of one split.

    Args:
        pictures: Number of pictures.
        empty: Number of pictures without an object.
        ignored: Number of objects that training and evaluation ignore; all other numbers are of the others.
        objects: Number of objects by class.
        pictures_of: Number of pictures by class.
        most: Largest number of objects in a picture.
        mean: Mean number of objects in a picture.
        sizes: Numbers of small, medium and large objects at the training resolution.
        tiny: Number of objects narrower or lower than 8 pixels there, a cell of the finest feature map.
    """

    pictures: int
    empty: int
    ignored: int
    objects: Counter
    pictures_of: Counter
    most: int
    mean: float
    sizes: tuple[int, int, int]
    tiny: int


def statistics_of(pictures: list[Picture], image_size: tuple[int, int]) -> SplitStatistics:
    """Count the pictures and objects of a split.

    Args:
        pictures: Checked pictures with boxes in pixels.
        image_size: Width and height to which training resizes every picture.
    """
    used = [[item for item in picture.objects if not item.ignored] for picture in pictures]
    counts = list(map(len, used))
    sides = np.array(
        [
            (
                (item.box[2] - item.box[0]) * image_size[0] / picture.size[0],
                (item.box[3] - item.box[1]) * image_size[1] / picture.size[1],
            )
            for picture, objects in zip(pictures, used)
            if picture.size is not None
            for item in objects
        ]
    ).reshape(-1, 2)
    areas = sides.prod(axis=1)
    small, medium = int((areas < SMALL).sum()), int(((areas >= SMALL) & (areas < MEDIUM)).sum())
    return SplitStatistics(
        pictures=len(pictures),
        empty=sum(not picture.objects for picture in pictures),
        ignored=sum(item.ignored for picture in pictures for item in picture.objects),
        objects=Counter(item.name for objects in used for item in objects),
        pictures_of=Counter(name for objects in used for name in {item.name for item in objects}),
        most=max(counts, default=0),
        mean=sum(counts) / max(1, len(counts)),
        sizes=(small, medium, len(areas) - small - medium),
        tiny=int((sides.min(axis=1) < 8).sum()) if len(sides) else 0,
    )
