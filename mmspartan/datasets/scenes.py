"""Detection datasets that are drawn: backgrounds, the overlap of boxes, and COCO files that are whole or not there."""

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.utils import track_iter_progress

from ..errors import InputError

Box = Sequence[float]  # x, y, width, height


@dataclass
class Scene:
    """A drawn image.

    Attributes:
        image: ``(height, width, 3)``, BGR, 0..255; values outside are clipped.
        annotations: What COCO has of each object, ``category_id`` and ``bbox`` at least.
        mask: uint8 ``(height, width)``, the class of each pixel and 0 for the background, or None.
    """

    image: np.ndarray
    annotations: list[dict[str, Any]]
    mask: np.ndarray | None = None


def background(size: int, rng: np.random.Generator) -> np.ndarray:
    """Return a color gradient with coarse and fine noise, float32 ``(size, size, 3)``, 0..255."""
    corners = rng.uniform(0, 255, (2, 2, 3)).astype(np.float32)
    corners = corners.mean() + (corners - corners.mean()) * rng.uniform(0.1, 0.6)
    image = cv2.resize(corners, (size, size), interpolation=cv2.INTER_LINEAR)
    coarse = rng.normal(0, rng.uniform(0, 20), (rng.integers(2, 16),) * 2 + (3,)).astype(np.float32)
    image += cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    return image + rng.normal(0, rng.uniform(0, 8), (size, size, 1)).astype(np.float32)


def overlaps(box: Box, others: Iterable[Box], limit: float) -> bool:
    """Whether the overlap of a box and another one is more than ``limit`` of the smaller one."""
    x, y, w, h = box
    for ox, oy, ow, oh in others:
        inter = max(0, min(x + w, ox + ow) - max(x, ox)) * max(0, min(y + h, oy + oh) - max(y, oy))
        if inter > limit * min(w * h, ow * oh):
            return True
    return False


def write_scenes(
    out: Path,
    arguments: dict[str, Any],
    categories: list[dict[str, Any]],
    scene: Callable[[str, np.random.Generator], Scene],
) -> None:
    """Write scenes as a COCO dataset: ``train/``, ``train.json``, ``val/``, ``val.json``, and masks if drawn.

    Args:
        out: Folder to write. One that was made with the same arguments is kept.
        arguments: What decides the content; ``train`` and ``val`` are the numbers of scenes, and ``seed``.
        categories: Those of COCO, numbered from 1.
        scene: Draws one for a split.

    Raises:
        InputError: If the folder exists and was made with other arguments.
    """
    record, written = out / 'made_with.json', json.dumps(arguments)
    if record.exists() and record.read_text() == written:
        print(f'{out}: already there')
        return
    if out.exists():
        raise InputError(f'{out} exists and was not made with these arguments; remove it or give another --out')
    partial = out.with_name(out.name + '.part')
    shutil.rmtree(partial, ignore_errors=True)
    for i, split in enumerate(('train', 'val')):
        print(f'{split}: {arguments[split]} scenes')
        rng = np.random.default_rng([arguments['seed'], i])
        _write_split(partial, split, categories, (scene(split, rng) for _ in range(arguments[split])), arguments[split])
    (partial / 'made_with.json').write_text(written)
    partial.rename(out)
    print(f'\nwritten to {out}')


def _write_split(folder: Path, split: str, categories: list, scenes: Iterable[Scene], count: int) -> None:
    coco: dict[str, list[dict[str, Any]]] = dict(images=[], annotations=[], categories=categories)
    (folder / split).mkdir(parents=True)
    for i, scene in enumerate(track_iter_progress((scenes, count))):
        name = f'{i:05d}.png'
        for annotation in scene.annotations:
            identity = dict(id=len(coco['annotations']) + 1, image_id=i + 1)
            area = annotation['bbox'][2] * annotation['bbox'][3]
            coco['annotations'].append({**identity, **annotation, 'area': area, 'iscrowd': 0})
        cv2.imwrite(str(folder / split / name), scene.image.clip(0, 255).astype(np.uint8))
        if scene.mask is not None:
            masks = folder / f'{split}_masks'
            masks.mkdir(exist_ok=True)
            cv2.imwrite(str(masks / name), scene.mask)
        height, width = scene.image.shape[:2]
        coco['images'].append(dict(id=i + 1, file_name=name, width=width, height=height))
    (folder / f'{split}.json').write_text(json.dumps(coco))
