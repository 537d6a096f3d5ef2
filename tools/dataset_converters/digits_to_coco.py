"""Make a COCO-format detection dataset of scenes with real handwritten digits, which ship with scikit-learn.

Size, rotation, color and overlap of the digits and the backgrounds vary. Scenes of ``val`` have only digits of the test
split of ``SklearnDigits``, and training scenes have none of these. The same arguments give the same files.

``--masks`` adds what semantic segmentation needs: ``train_masks/`` and ``val_masks/``, PNG files of one channel with 0
for the background and 1 to 10 for the digits 0 to 9. ``--keypoints`` adds key points to the annotations: the topmost,
rightmost, lowest and leftmost point of each digit.
"""

import argparse
import json
import shutil
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
from mmengine.utils import track_iter_progress

from mmspartan.datasets.digits_split import load_digits_split


def background(size: int, rng: np.random.Generator) -> np.ndarray:
    """Return a color gradient with coarse and fine noise, float32 ``(size, size, 3)``, 0..255."""
    corners = rng.uniform(0, 255, (2, 2, 3)).astype(np.float32)
    corners = corners.mean() + (corners - corners.mean()) * rng.uniform(0.1, 0.6)
    image = cv2.resize(corners, (size, size), interpolation=cv2.INTER_LINEAR)
    coarse = rng.normal(0, rng.uniform(0, 20), (rng.integers(2, 16),) * 2 + (3,)).astype(np.float32)
    image += cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    return image + rng.normal(0, rng.uniform(0, 8), (size, size, 1)).astype(np.float32)


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


def covers(box: list[float], others: list[list[float]], limit: float = 0.25) -> bool:
    """Whether the overlap of a box and another one is more than ``limit`` of the smaller one."""
    x, y, w, h = box
    for ox, oy, ow, oh in others:
        inter = max(0, min(x + w, ox + ow) - max(x, ox)) * max(0, min(y + h, oy + oh) - max(y, oy))
        if inter > limit * min(w * h, ow * oh):
            return True
    return False


def write_split(
    folder: Path, split: str, count: int, size: int, rng: np.random.Generator, masks: bool, keypoints: bool
) -> None:
    images, labels = load_digits_split('train' if split == 'train' else 'test')
    digits = images[..., 0].astype(np.float32) / 255
    (folder / split).mkdir(parents=True)
    if masks:
        (folder / f'{split}_masks').mkdir()
    coco = dict(images=[], annotations=[], categories=[dict(id=digit + 1, name=str(digit)) for digit in range(10)])
    for category in coco['categories'] if keypoints else ():
        category.update(keypoints=['top', 'right', 'bottom', 'left'], skeleton=[])
    print(f'{split}: {count} scenes')
    for i in track_iter_progress(range(count)):
        scene = background(size, rng)
        boxes, labels_of_pixels = [], np.zeros((size, size), np.uint8)
        for _ in range(rng.integers(1, 7)):
            chosen = rng.integers(len(digits))
            before = scene.copy()
            drawn = draw_digit(scene, digits[chosen], rng)
            if drawn is None or covers(drawn[0], boxes):
                scene = before
                continue
            box, ink = drawn
            boxes.append(box)
            x, y, width, height = box
            labels_of_pixels[y : y + height, x : x + width][ink] = labels[chosen] + 1
            coco['annotations'].append(
                dict(
                    id=len(coco['annotations']) + 1,
                    image_id=i + 1,
                    category_id=int(labels[chosen]) + 1,
                    bbox=box,
                    area=box[2] * box[3],
                    iscrowd=0,
                    **(dict(keypoints=extreme_points(box, ink), num_keypoints=4) if keypoints else {}),
                )
            )
        name = f'{i:05d}.png'
        cv2.imwrite(str(folder / split / name), scene.clip(0, 255).astype(np.uint8))
        if masks:
            cv2.imwrite(str(folder / f'{split}_masks' / name), labels_of_pixels)
        coco['images'].append(dict(id=i + 1, file_name=name, width=size, height=size))
    (folder / f'{split}.json').write_text(json.dumps(coco))


def main(args: argparse.Namespace) -> None:
    more = {name: True for name in ('masks', 'keypoints') if getattr(args, name)}
    arguments = json.dumps(dict(train=args.train, val=args.val, size=args.size, seed=args.seed, **more))
    record = args.out / 'made_with.json'
    if record.exists() and record.read_text() == arguments:
        print(f'{args.out}: already there')
        return
    if args.out.exists():
        raise SystemExit(f'{args.out} exists and was not made with these arguments; remove it or give another --out')
    partial = args.out.with_name(args.out.name + '.part')
    shutil.rmtree(partial, ignore_errors=True)
    for i, split in enumerate(('train', 'val')):
        write_split(
            partial,
            split,
            getattr(args, split),
            args.size,
            np.random.default_rng([args.seed, i]),
            args.masks,
            args.keypoints,
        )
    (partial / 'made_with.json').write_text(arguments)
    partial.rename(args.out)
    print(f'\nwritten to {args.out}')


if __name__ == '__main__':
    main(args)
