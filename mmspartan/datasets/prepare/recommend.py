"""The base config for a dataset on this machine: what its memory holds, and a size at which objects are seen.

The limits are rules of thumb, but for the memory. Two images of 800 pixels, the largest of the multi-scale training,
keep 4.5 GB for the backward pass with ``rtdetr_spartan_t_coco``; with ``dfine_spartan_xt_n_coco``, which trains at 640
pixels alone, four images keep 3.0 GB (counted by ``saved_tensors_hooks``, without what operations take in between).
"""

import statistics
from dataclasses import dataclass

import torch
from mmengine.device import get_device

from .source import Sample
from .statistics import statistics_of

CPU_BASE = 'rtdetr_spartan_xt_cifar10'
CPU_BATCH = 4  # learns more than 8 in the same time (docs/own-data.md)
GPU_BASE = 'rtdetr_spartan_t_coco'
SMALL_GPU_BASE, SMALL_GPU_BATCH = 'dfine_spartan_xt_n_coco', 4

ENOUGH = 8.0  # GB of a GPU for GPU_BASE
HEIGHTS = range(128, 321, 32)  # of the input on a CPU, in pixels; CPU_BASE is made for 128
TINY = 0.1  # share of the objects that may be smaller than a cell of the finest feature map
ASPECT = 2.0  # of the input, at most


@dataclass
class Recommendation:
    """A base config, width and height of its input and its batch, None for the base's, and why these."""

    base: str
    image_size: tuple[int, int] | None
    batch_size: int | None
    reason: str


def recommend(samples: list[Sample], image_size: tuple[int, int] | None = None) -> Recommendation:
    """Return the base for a training set, checked and with an object at least, on this machine.

    ``image_size`` is width and height of the network's input, if they are given.
    """
    device = get_device()
    if device == 'cpu':
        size = image_size or smallest_size(samples)
        reason = 'this machine has no GPU, without which a detector of 640 pixels trains for days'
        return Recommendation(CPU_BASE, size, CPU_BATCH, f'{reason}. {described(samples, size)}')
    name, memory = device, float('inf')
    if device == 'cuda':
        name, memory = torch.cuda.get_device_name(), torch.cuda.get_device_properties(0).total_memory / 1e9
    if memory < ENOUGH:
        reason = f'{name} has {memory:.0f} GB of memory, too little for {GPU_BASE} ({ENOUGH:.0f} GB)'
        base, batch_size = SMALL_GPU_BASE, SMALL_GPU_BATCH
    else:
        reason = f'{name} has the memory for a detector of 640 pixels'
        base, batch_size = GPU_BASE, None
    return Recommendation(base, image_size, batch_size, f'{reason}. {described(samples, image_size or (640, 640))}')


def smallest_size(samples: list[Sample]) -> tuple[int, int]:
    """Return the smallest of the sizes for a CPU at which few objects are tiny; the largest, if there is none."""
    aspect = statistics.median(sample.size[0] / sample.size[1] for sample in samples if sample.size)
    aspect = min(ASPECT, max(1 / ASPECT, aspect))
    sizes = [(round(aspect * height / 32) * 32, height) for height in HEIGHTS]
    return next((size for size in sizes if share_of_tiny(samples, size) <= TINY), sizes[-1])


def share_of_tiny(samples: list[Sample], size: tuple[int, int]) -> float:
    """Return the share of objects narrower or lower than 8 pixels, in images of this width and height."""
    found = statistics_of(samples, size)
    return found.tiny / max(1, sum(found.sizes))


def described(samples: list[Sample], size: tuple[int, int]) -> str:
    """Return a sentence on number and size of the images, and on the size of their objects in the network's input."""
    width, height = (statistics.median(sample.size[i] for sample in samples if sample.size) for i in (0, 1))
    return (
        f'Of the objects in {len(samples)} training images of {width:.0f} x {height:.0f} pixels (median), '
        f'{share_of_tiny(samples, size):.0%} are narrower or lower than 8 pixels at {size[0]} x {size[1]}'
    )
