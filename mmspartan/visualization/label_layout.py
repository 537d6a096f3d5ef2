"""Positions of labels beside their boxes, so that none hides a stronger one."""

import numpy as np

Rectangle = tuple[float, float, float, float]  # left, top, right, bottom in pixels


def place_labels(boxes: list[Rectangle], sizes: list[tuple[int, int]], image: tuple[int, int]) -> list[Rectangle]:
    """Place a label for each box: above it, below it, or inside, where it covers least of the labels before it.

    The most important box comes first. ``sizes`` are width and height of each label, ``image`` those of the image, in
    pixels; labels lie in it, if they are not larger.
    """
    placed: list[Rectangle] = []
    for (x1, y1, x2, y2), (width, height) in zip(boxes, sizes):
        corners = [(x1, y1 - height), (x1, y2), (x1, y1), (x2 - width, y2 - height), (x2 - width, y1 - height)]
        corners += [(x2, y1), (x1 - width, y1), (x2 - width, y2)]
        candidates = []
        for left, top in corners:
            left = min(max(left, 0), max(image[0] - width, 0))
            top = min(max(top, 0), max(image[1] - height, 0))
            candidates.append((left, top, left + width, top + height))
        placed.append(min(candidates, key=lambda candidate: _covered(candidate, placed)))
    return placed


def _covered(candidate: Rectangle, placed: list[Rectangle]) -> float:
    """Return how many pixels of the labels before it a label covers."""
    left, top, right, bottom = np.reshape(placed, (-1, 4)).T
    width = np.minimum(right, candidate[2]) - np.maximum(left, candidate[0])
    height = np.minimum(bottom, candidate[3]) - np.maximum(top, candidate[1])
    return float((width.clip(0) * height.clip(0)).sum())
