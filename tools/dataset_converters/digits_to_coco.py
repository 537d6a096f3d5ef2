"""Make a COCO-format detection dataset of scenes with real handwritten digits, which ship with scikit-learn.

Size, rotation, color and overlap of the digits and the backgrounds vary. Scenes of ``val`` have only digits of the test
split of ``SklearnDigits``, and training scenes have none of these. The same arguments give the same files.

``--masks`` adds what semantic segmentation needs: ``train_masks/`` and ``val_masks/``, PNG files of one channel with 0
for the background and 1 to 10 for the digits 0 to 9. ``--keypoints`` adds key points to the annotations: the topmost,
rightmost, lowest and leftmost point of each digit.
"""

import argparse
from pathlib import Path

from mmspartan_cli import parse


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', type=Path, default=Path('data/digits_coco'), help='folder to write')
    parser.add_argument('--train', type=int, default=1500, help='training scenes')
    parser.add_argument('--val', type=int, default=200, help='held-out scenes')
    parser.add_argument('--size', type=int, default=128, help='side of a scene in pixels')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--masks', action='store_true', help='write masks for semantic segmentation as well')
    parser.add_argument('--keypoints', action='store_true', help='annotate four key points of each digit')
    return parse(parser)


if __name__ == '__main__':
    args = parse_args()  # before the imports that take seconds

import cv2
import numpy as np

from mmspartan.commands.command import command
from mmspartan.datasets.digits_split import load_digits_split
from mmspartan.datasets.scenes import Scene, background, overlaps, write_scenes

Drawn = tuple[list[int], np.ndarray]


def draw_digit(image: np.ndarray, digit: np.ndarray, rng: np.random.Generator) -> Drawn | None:
    """Draw a digit ``(8, 8)``, 0..1, at a random position; None if it does not fit.

    Returns its box (x, y, w, h) and where its ink is within the box, bool ``(h, w)``.
    """
    size = len(image)
    side = int(size * np.exp(rng.uniform(np.log(0.25), np.log(0.55))))
    rotation = cv2.getRotationMatrix2D((side / 2, side / 2), rng.uniform(-12, 12), 1.0)
    mask = cv2.resize(digit, (side, int(side * rng.uniform(0.9, 1.2))), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    mask = cv2.warpAffine(mask, rotation, mask.shape[::-1])
    rows, columns = np.where(mask > 0.3)
    mask = mask[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    height, width = mask.shape
    if height >= size or width >= size:
        return None
    y, x = rng.integers(0, size - height), rng.integers(0, size - width)
    patch = image[y : y + height, x : x + width]
    ink = rng.uniform(0, 255, 3)
    if abs(ink.mean() - patch.mean()) < 70:  # legible
        ink = ink + 128 if patch.mean() < 128 else ink - 128
    patch += (ink.astype(np.float32).clip(0, 255) - patch) * mask[..., None]
    return [int(x), int(y), int(width), int(height)], mask > 0.3


def extreme_points(box: list[int], ink: np.ndarray) -> list[float]:
    """Return the topmost, rightmost, lowest and leftmost point of a digit as COCO's ``[x, y, 2, ...]``.

    Where several pixels are extreme, it is the one in their middle.
    """
    x, y, width, height = box
    middle = [float(np.flatnonzero(line).mean()) for line in (ink[0], ink[:, -1], ink[-1], ink[:, 0])]
    points = [(middle[0], 0), (width - 1, middle[1]), (middle[2], height - 1), (0, middle[3])]
    return [value for column, row in points for value in (x + column, y + row, 2)]


def draw_scene(size: int, digits: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> Scene:
    """Draw one to six digits of ``(N, 8, 8)``, 0..1; annotations have key points, the mask the class of each pixel."""
    scene = Scene(background(size, rng), [], np.zeros((size, size), np.uint8))
    for _ in range(rng.integers(1, 7)):
        chosen = rng.integers(len(digits))
        before = scene.image.copy()
        drawn = draw_digit(scene.image, digits[chosen], rng)
        if drawn is None or overlaps(drawn[0], [other['bbox'] for other in scene.annotations], limit=0.25):
            scene.image = before
            continue
        box, ink = drawn
        x, y, width, height = box
        category = int(labels[chosen]) + 1
        scene.mask[y : y + height, x : x + width][ink] = category
        points = dict(keypoints=extreme_points(box, ink), num_keypoints=4)
        scene.annotations.append(dict(category_id=category, bbox=box, **points))
    return scene


@command()
def main(args: argparse.Namespace) -> None:
    more = {name: True for name in ('masks', 'keypoints') if getattr(args, name)}
    categories = [dict(id=digit + 1, name=str(digit)) for digit in range(10)]
    for category in categories if args.keypoints else ():
        category.update(keypoints=['top', 'right', 'bottom', 'left'], skeleton=[])
    splits = {split: load_digits_split(source) for split, source in dict(train='train', val='test').items()}
    splits = {split: (images[..., 0].astype(np.float32) / 255, labels) for split, (images, labels) in splits.items()}

    def scene(split: str, rng: np.random.Generator) -> Scene:
        drawn = draw_scene(args.size, *splits[split], rng)
        if not args.masks:
            drawn.mask = None
        if not args.keypoints:
            drawn.annotations = [dict(category_id=a['category_id'], bbox=a['bbox']) for a in drawn.annotations]
        return drawn

    arguments = dict(train=args.train, val=args.val, size=args.size, seed=args.seed, **more)
    write_scenes(args.out, arguments, categories, scene)


if __name__ == '__main__':
    main(args)
