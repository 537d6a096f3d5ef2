"""Put images side by side into one: ``contact_sheet.py IMAGE_OR_FOLDER [...] --out SHEET.png``."""

import argparse
from pathlib import Path

import cv2
import numpy as np

from mmspartan_cli import find_images


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', nargs='+', help='images, or folders of images')
    parser.add_argument('--out', required=True, type=Path, help='file to write')
    parser.add_argument('--count', type=int, default=6, help='images, the first ones by name')
    parser.add_argument('--columns', type=int, default=3, help='images in a row')
    parser.add_argument('--height', type=int, default=320, help='of each image in pixels')
    return parser.parse_args()


def read(path: Path, height: int) -> np.ndarray:
    image = cv2.imread(str(path))
    if image is None:
        raise SystemExit(f'{path}: cannot be read as an image')
    width = round(image.shape[1] * height / image.shape[0])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def sheet(images: list[np.ndarray], columns: int, gap: int = 8) -> np.ndarray:
    """Rows of ``columns`` images of one height, on white."""
    rows = [images[i : i + columns] for i in range(0, len(images), columns)]
    widths = [sum(image.shape[1] + gap for image in row) for row in rows]
    height = images[0].shape[0] + gap
    canvas = np.full((height * len(rows) - gap, max(widths) - gap, 3), 255, dtype=np.uint8)
    for i, row in enumerate(rows):
        left = 0
        for image in row:
            canvas[i * height : i * height + image.shape[0], left : left + image.shape[1]] = image
            left += image.shape[1] + gap
    return canvas


def main():
    args = parse_args()
    images = [read(path, args.height) for path in find_images(args.source)[: args.count]]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(args.out), sheet(images, args.columns)):
        raise SystemExit(f'{args.out}: cannot be written')
    print(f'{args.out}: {len(images)} images')


if __name__ == '__main__':
    main()
