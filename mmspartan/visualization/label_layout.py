"""Positions of labels beside their boxes, so that none hides a stronger one."""

Rectangle = tuple[float, float, float, float]  # left, top, right, bottom in pixels


def place_labels(boxes: list[Rectangle], sizes: list[tuple[int, int]], image: tuple[int, int]) -> list[Rectangle]:
    """Place a label for each box: above it, below it, or inside, where it covers least of the labels before it.

    Args:
        boxes: The boxes, the most important first.
        sizes: Width and height of each label in pixels.
        image: Width and height of the image in pixels. Labels lie in it, if they are not larger.
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
        placed.append(min(candidates, key=lambda candidate: sum(_shared(candidate, other) for other in placed)))
    return placed


def _shared(first: Rectangle, second: Rectangle) -> float:
    """Return the area of the intersection."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return max(width, 0) * max(height, 0)
