"""Boxes that stand for one object, and the colors of classes."""

import colorsys

import numpy as np
from numpy.typing import ArrayLike

Color = tuple[int, ...]  # red, green and blue, 0 to 255


def group_boxes(boxes: ArrayLike, scores: ArrayLike, iou: float = 0.7) -> list[list[int]]:
    """Group detections that cover the same object, whatever their classes.

    RT-DETR selects pairs of query and class, so that one box comes with several classes; AP needs all of them, a
    drawing only the strongest.

    Args:
        boxes: (x1, y1, x2, y2) in pixels, ``(N, 4)``.
        scores: ``(N,)``.
        iou: Detections with at least this IoU belong together, as do those with equal boxes.

    Returns:
        list[list[int]]: Indices of each group by descending score; the group with the highest score comes first.
    """
    corners = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    left = np.argsort(-np.asarray(scores), kind='stable')
    low, high = corners[:, :2], corners[:, 2:]
    areas = np.prod(np.maximum(high - low, 0), axis=1)
    groups = []
    while left.size:
        first = left[0]
        sides = np.minimum(high[first], high[left]) - np.maximum(low[first], low[left])
        shared = np.prod(np.maximum(sides, 0), axis=1)
        is_same = shared >= iou * np.maximum(areas[first] + areas[left] - shared, 1e-9)
        is_same |= (corners[first] == corners[left]).all(1)
        is_same[0] = True  # also of a box that is not a number
        groups.append(left[is_same].tolist())
        left = left[~is_same]
    return groups


def class_color(label: int) -> Color:
    """Return the color of a class: bright, never green, which grass and leaves are, and unlike its neighbors'."""
    hue = (185 + (label * 0.618034 % 1) * 235) % 360  # from cyan over blue and red to yellow
    light = (0.55, 0.7, 0.45)[label // 8 % 3]
    red, green, blue = colorsys.hls_to_rgb(hue / 360, light, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def contrasting(color: Color) -> Color:
    """Return black or white, whichever is easier to read on ``color``."""
    return (0, 0, 0) if np.dot(color, (0.299, 0.587, 0.114)) > 110 else (255, 255, 255)
