"""Boxes that stand for one object, and the colors of classes."""

import colorsys

import numpy as np
import torch
import torchvision
from numpy.typing import ArrayLike

Color = tuple[int, ...]  # red, green and blue, 0 to 255
MARGIN = 1e-3  # pixels, so that equal boxes without an area overlap


def strongest_boxes(boxes: ArrayLike, scores: ArrayLike, iou: float = 0.7) -> list[int]:
    """Return the indices of the strongest of the detections that cover the same object, whatever their classes.

    RT-DETR selects pairs of query and class, so that one box comes with several classes; AP needs all of them, a
    drawing only the strongest.

    Args:
        boxes: (x1, y1, x2, y2) in pixels, ``(N, 4)``.
        scores: ``(N,)``.
        iou: Detections with a greater IoU belong together, as do those with equal boxes.

    Returns:
        list[int]: Indices by descending score.
    """
    corners = torch.as_tensor(np.asarray(boxes, dtype=np.float64)).reshape(-1, 4)
    corners = corners + corners.new_tensor([-MARGIN, -MARGIN, MARGIN, MARGIN])
    return torchvision.ops.nms(corners, torch.as_tensor(np.asarray(scores, dtype=np.float64)), iou).tolist()


def class_color(label: int) -> Color:
    """Return the color of a class: bright, never green, which grass and leaves are, and unlike its neighbors'."""
    hue = (185 + (label * 0.618034 % 1) * 235) % 360  # from cyan over blue and red to yellow
    light = (0.55, 0.7, 0.45)[label // 8 % 3]
    red, green, blue = colorsys.hls_to_rgb(hue / 360, light, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def contrasting(color: Color) -> Color:
    """Return black or white, whichever is easier to read on ``color``."""
    return (0, 0, 0) if np.dot(color, (0.299, 0.587, 0.114)) > 110 else (255, 255, 255)
