"""Draw a detection dataset of washers, nuts and bolts that lie on a table, in COCO, Pascal VOC or YOLO format.

A stand-in for a small dataset of one's own: three classes, small and crowded objects, images without objects. The
formats have the layouts of Roboflow's COCO export (train, valid, test), of labelImg (XML files beside the images,
not split) and of Ultralytics (data.yaml). The same arguments give the same images.
"""

import argparse
import json
import shutil
from pathlib import Path
from xml.sax.saxutils import escape

from mmspartan_cli import parse


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--format', choices=('coco', 'voc', 'yolo'), required=True)
    parser.add_argument('--out', type=Path, required=True, help='folder to write, which must not exist')
    parser.add_argument('--count', type=int, default=300, help='images')
    parser.add_argument('--seed', type=int, default=0)
    return parse(parser)


if __name__ == '__main__':
    args = parse_args()  # before the imports that take seconds

import cv2
import numpy as np
from mmengine.utils import track_iter_progress

from mmspartan.datasets.scenes import overlaps

CLASSES = ('washer', 'nut', 'bolt')
WIDTH, HEIGHT = 256, 192
SPLITS = {'train': 0.7, 'valid': 0.2, 'test': 0.1}
Box = tuple[int, int, int, int]  # x, y, width, height


def table(rng: np.random.Generator) -> np.ndarray:
    """Return a table in uneven light, with grain and stains, float32 ``(HEIGHT, WIDTH, 3)``, 0..255."""
    color = rng.uniform(40, 200) + rng.uniform(-20, 20, 3)
    light = cv2.resize(rng.uniform(0.7, 1.3, (2, 2)).astype(np.float32), (WIDTH, HEIGHT))
    grain = cv2.resize(rng.normal(0, 6, (HEIGHT // 2, WIDTH // 16)).astype(np.float32), (WIDTH, HEIGHT))
    image: np.ndarray = color.astype(np.float32) * light[..., None] + grain[..., None]
    for _ in range(rng.integers(0, 4)):
        center = int(rng.integers(0, WIDTH)), int(rng.integers(0, HEIGHT))
        axes = int(rng.integers(5, 30)), int(rng.integers(5, 30))
        stain = image.copy()
        cv2.ellipse(stain, center, axes, float(rng.uniform(0, 180)), 0, 360, (float(image.mean()) * 0.8,) * 3, -1)
        image = cv2.addWeighted(image, 0.6, stain, 0.4, 0)
    return image


def mask_of(name: str, size: float, rng: np.random.Generator) -> np.ndarray:
    """Return the shape of a part of about ``size`` pixels at a random rotation, float32 ``(S, S)``, 0..1."""
    scale = 4  # drawn larger and reduced, for soft edges
    side = int(size * 2.6) * scale
    mask, center, radius = np.zeros((side, side), np.uint8), (side // 2, side // 2), size * scale / 2
    angle = rng.uniform(0, 2 * np.pi)
    if name == 'bolt':
        along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
        length, thick, head = radius * rng.uniform(1.4, 2.0), radius * 0.32, radius * 0.7
        for start, end, half in ((-length, length * 0.6, thick), (length * 0.6, length * 0.6 + head, head)):
            corners = [start * along + half * across, end * along + half * across]
            corners += [end * along - half * across, start * along - half * across]
            cv2.fillPoly(mask, [(np.array(corners) + center).astype(np.int32)], 255)
    elif name == 'nut':
        turns = angle + np.arange(6) * np.pi / 3
        hexagon = np.stack([np.cos(turns), np.sin(turns)], 1) * radius + center
        cv2.fillPoly(mask, [hexagon.astype(np.int32)], 255)
        cv2.circle(mask, center, int(radius * 0.5), 0, -1)
    else:
        cv2.circle(mask, center, int(radius), 255, -1)
        cv2.circle(mask, center, int(radius * rng.uniform(0.4, 0.6)), 0, -1)
    return cv2.resize(mask, None, fx=1 / scale, fy=1 / scale, interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def place(image: np.ndarray, name: str, spot: np.ndarray, rng: np.random.Generator) -> Box | None:
    """Draw a part around a spot and return its box; None if it would not lie inside."""
    mask = mask_of(name, float(np.exp(rng.uniform(np.log(10), np.log(30)))), rng)
    rows, columns = np.where(mask > 0.3)
    mask = mask[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    height, width = mask.shape
    x0, y0 = int(spot[0] - width / 2), int(spot[1] - height / 2)
    if x0 < 0 or y0 < 0 or x0 + width > WIDTH or y0 + height > HEIGHT:
        return None
    shadow = cv2.GaussianBlur(mask, (0, 0), 1.5)[..., None]
    patch = image[y0 : y0 + height, x0 : x0 + width]
    patch *= 1 - 0.35 * shadow
    shine = np.linspace(rng.uniform(-40, 0), rng.uniform(0, 40), width, dtype=np.float32)[None, :, None]
    metal = rng.uniform(70, 230) + rng.uniform(-12, 12, 3).astype(np.float32) + shine
    patch += (np.broadcast_to(metal, patch.shape) - patch) * mask[..., None]
    return x0, y0, width, height


def scene(rng: np.random.Generator) -> tuple[np.ndarray, list[tuple[str, Box]]]:
    """Return an image, uint8 ``(HEIGHT, WIDTH, 3)``, and its objects; a twentieth of the images has none."""
    image, objects = table(rng), list[tuple[str, Box]]()
    crowd = rng.uniform((30, 30), (WIDTH - 30, HEIGHT - 30))  # half of the parts lie in a heap
    for _ in range(0 if rng.random() < 0.05 else rng.integers(3, 30)):
        name = str(rng.choice(CLASSES, p=(0.5, 0.35, 0.15)))
        spot = rng.normal(crowd, 28) if rng.random() < 0.5 else rng.uniform((0, 0), (WIDTH, HEIGHT))
        before = image.copy()
        box = place(image, name, spot, rng)
        if box is None or overlaps(box, [other for _, other in objects], limit=0.3):
            image = before
        else:
            objects.append((name, box))
    if rng.random() < 0.4:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.0)))
    return (image + rng.normal(0, rng.uniform(1, 8), image.shape)).clip(0, 255).astype(np.uint8), objects


def voc_text(name: str, objects: list[tuple[str, Box]]) -> str:
    """Return labelImg's XML; VOC counts pixels from 1."""
    items = ''.join(
        f'<object><name>{escape(kind)}</name><difficult>0</difficult><bndbox><xmin>{x0 + 1}</xmin><ymin>{y0 + 1}</ymin>'
        f'<xmax>{x0 + width}</xmax><ymax>{y0 + height}</ymax></bndbox></object>'
        for kind, (x0, y0, width, height) in objects
    )
    size = f'<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>'
    return f'<annotation><filename>{name}</filename>{size}{items}</annotation>'


def yolo_text(objects: list[tuple[str, Box]]) -> str:
    lines = [
        f'{CLASSES.index(kind)} {(x0 + width / 2) / WIDTH:.6f} {(y0 + height / 2) / HEIGHT:.6f} '
        f'{width / WIDTH:.6f} {height / HEIGHT:.6f}\n'
        for kind, (x0, y0, width, height) in objects
    ]
    return ''.join(lines)


def coco_content(scenes: list[tuple[str, list[tuple[str, Box]]]]) -> dict:
    """Return a file as Roboflow exports it, with the name of the project as category 0."""
    categories = [dict(id=0, name='parts', supercategory='none')]
    categories += [dict(id=i, name=name, supercategory='parts') for i, name in enumerate(CLASSES, 1)]
    images, annotations = list[dict](), list[dict]()
    for i, (name, objects) in enumerate(scenes):
        images.append(dict(id=i, file_name=name, width=WIDTH, height=HEIGHT))
        for kind, box in objects:
            entry = dict(id=len(annotations), image_id=i, category_id=CLASSES.index(kind) + 1, bbox=list(box))
            annotations.append({**entry, 'area': box[2] * box[3], 'segmentation': [], 'iscrowd': 0})
    return dict(info={}, licenses=[], categories=categories, images=images, annotations=annotations)


def folder_of(layout: str, split: str) -> str:
    return {'coco': split, 'voc': '.', 'yolo': f'{split}/images'}[layout]


def write(out: Path, layout: str, count: int, seed: int) -> None:
    ends = np.round(np.cumsum(list(SPLITS.values())) * count)
    written: dict[str, list] = {split: [] for split in SPLITS}
    for i in track_iter_progress(range(count)):
        split = list(SPLITS)[int((i >= ends).sum())]
        image, objects = scene(np.random.default_rng([seed, i]))
        name = f'part_{i:04d}.jpg'
        path = out / folder_of(layout, split) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, 92])
        written[split].append((name, objects))
        if layout == 'voc':
            path.with_suffix('.xml').write_text(voc_text(name, objects))
        elif layout == 'yolo':
            labels = out / split / 'labels' / f'{path.stem}.txt'
            labels.parent.mkdir(parents=True, exist_ok=True)
            labels.write_text(yolo_text(objects))
    if layout == 'coco':
        for split, scenes in written.items():
            if scenes:
                (out / split / '_annotations.coco.json').write_text(json.dumps(coco_content(scenes)))
    elif layout == 'yolo':
        used = {'valid': 'val'}
        lines = [f'{used.get(split, split)}: ../{split}/images\n' for split, scenes in written.items() if scenes]
        (out / 'data.yaml').write_text(''.join(lines) + f'nc: {len(CLASSES)}\nnames: {list(CLASSES)}\n')


def main(args: argparse.Namespace) -> None:
    if args.out.exists():
        raise SystemExit(f'{args.out}: exists; remove it or give another --out')
    partial = args.out.with_name(f'{args.out.name}.part')
    shutil.rmtree(partial, ignore_errors=True)
    write(partial, args.format, args.count, args.seed)
    partial.rename(args.out)
    print(f'\n{args.count} images written to {args.out}')


if __name__ == '__main__':
    main(args)
