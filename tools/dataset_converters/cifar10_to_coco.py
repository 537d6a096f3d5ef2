"""Make a COCO-format detection dataset of scenes with the photographs of CIFAR-10.

Each object is a photograph, cut out by a random outline and resized. The background is an enlarged piece of another
photograph, or a gradient with noise. Scenes of ``val`` have only photographs of CIFAR-10's test images, and training
scenes have none of these. The same arguments give the same files.
"""

import argparse
from functools import cache
from pathlib import Path

from mmspartan_cli import parse


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', type=Path, default=Path('data/cifar10_coco'), help='folder to write')
    parser.add_argument(
        '--photographs', type=Path, default='data/cifar10', help='folder with CIFAR-10, downloaded if it is empty'
    )
    parser.add_argument('--train', type=int, default=6000, help='training scenes')
    parser.add_argument('--val', type=int, default=200, help='held-out scenes')
    parser.add_argument('--size', type=int, default=128, help='side of a scene in pixels')
    parser.add_argument('--seed', type=int, default=0)
    return parse(parser)


if __name__ == '__main__':
    args = parse_args()  # before the imports that take seconds

import cv2
import numpy as np
from mmpretrain.datasets import CIFAR10
from mmpretrain.registry import DATASETS

import mmspartan.datasets.cifar10  # noqa: F401 - registers
from mmspartan.commands.command import command
from mmspartan.datasets.scenes import Scene, background, overlaps, write_scenes
from mmspartan.errors import InputError

SIDE, PIECE = 32, 16  # of a photograph, and of its piece that becomes a background, in pixels


def outline(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """Return a superellipse or a polygon that touches all sides, float32 ``(height, width, 1)``, 0..1."""
    scale = 4  # drawn larger and reduced, for soft edges
    is_smooth = rng.random() < 0.5
    angles = np.linspace(0, 2 * np.pi, 48) if is_smooth else np.sort(rng.uniform(0, 2 * np.pi, rng.integers(5, 12)))
    points = np.stack([np.cos(angles), np.sin(angles)], 1)
    power = rng.uniform(1.6, 8)
    points *= ((np.abs(points) ** power).sum(1) ** (-1 / power))[:, None]
    if not is_smooth:
        points *= rng.uniform(0.7, 1, (len(points), 1))
    turn = rng.uniform(0, np.pi)
    points = points @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points -= points.min(0)
    points *= (np.array([width, height]) * scale - 1) / points.max(0)
    mask = np.zeros((height * scale, width * scale), np.uint8)
    cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 255)
    mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA)
    return mask[..., None].astype(np.float32) / 255


def draw_scene(size: int, photographs: list[np.ndarray], labels: list[int], rng: np.random.Generator) -> Scene:
    """Draw up to nine of the photographs, uint8 ``(32, 32, 3)``, with sides of a tenth to a half of the scene."""
    image = background(size, rng)
    if rng.random() < 0.5:
        y, x = rng.integers(0, SIDE - PIECE, 2)
        piece = photographs[rng.integers(len(photographs))][y : y + PIECE, x : x + PIECE].astype(np.float32)
        image = cv2.resize(piece, (size, size), interpolation=cv2.INTER_CUBIC)
        image += rng.normal(0, rng.uniform(0, 8), image.shape).astype(np.float32)
    scene = Scene(image, [])
    for _ in range(rng.integers(1, 10)):
        side = size * np.exp(rng.uniform(np.log(0.1), np.log(0.5)))
        elongation = np.exp(rng.uniform(-0.3, 0.3))
        width, height = int(side * elongation), int(side / elongation)
        x, y = int(rng.integers(0, size - width)), int(rng.integers(0, size - height))
        box = [x, y, width, height]
        if overlaps(box, [other['bbox'] for other in scene.annotations], limit=0.25):
            continue
        chosen = rng.integers(len(photographs))
        photograph = photographs[chosen][:, :: rng.choice([-1, 1])].astype(np.float32)
        interpolation = cv2.INTER_CUBIC if width > SIDE else cv2.INTER_AREA
        patch = image[y : y + height, x : x + width]
        patch += (cv2.resize(photograph, (width, height), interpolation=interpolation) - patch) * outline(
            width, height, rng
        )
        scene.annotations.append(dict(category_id=labels[chosen] + 1, bbox=box))
    return scene


@command()
def main(args: argparse.Namespace) -> None:
    if args.size < SIDE:
        raise InputError(f'--size {args.size}: must be at least {SIDE} pixels')
    args.photographs.mkdir(parents=True, exist_ok=True)

    @cache
    def photographs(split: str) -> tuple[list[np.ndarray], list[int]]:
        source = dict(train='train', val='test')[split]
        dataset = DATASETS.build(dict(type='BGRCIFAR10', data_root=str(args.photographs), split=source, pipeline=[]))
        items = [dataset.get_data_info(i) for i in range(len(dataset))]
        return [item['img'] for item in items], [int(item['gt_label']) for item in items]

    arguments = dict(train=args.train, val=args.val, size=args.size, seed=args.seed)
    categories = [dict(id=i, name=name) for i, name in enumerate(CIFAR10.METAINFO['classes'], 1)]
    write_scenes(args.out, arguments, categories, lambda split, rng: draw_scene(args.size, *photographs(split), rng))


if __name__ == '__main__':
    main(args)
