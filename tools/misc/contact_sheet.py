"""Put pictures side by side into one picture: ``contact_sheet.py PICTURE_OR_FOLDER [...] --out SHEET.png``."""

import argparse
from pathlib import Path

import cv2
import numpy as np

from mmspartan_cli.choices import PICTURES


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', nargs='+', type=Path, help='pictures, or folders of pictures')
    parser.add_argument('--out', required=True, type=Path, help='file to write')
    parser.add_argument('--count', type=int, default=6, help='pictures, the first ones by name')
    parser.add_argument('--columns', type=int, default=3, help='pictures in a row')
    parser.add_argument('--height', type=int, default=320, help='of each picture in pixels')
    return parser.parse_args()


def find_pictures(sources: list[Path]) -> list[Path]:
    found: list[Path] = []
    for source in sources:
        if not source.exists():
            raise SystemExit(f'{source}: no such picture or folder')
        inside = sorted(source.rglob('*')) if source.is_dir() else [source]
        found += [path for path in inside if path.suffix.lower() in PICTURES]
    if not found:
        raise SystemExit(f'{" ".join(map(str, sources))}: no pictures ({", ".join(PICTURES)})')
    return found


def read(path: Path, height: int) -> np.ndarray:
    picture = cv2.imread(str(path))
    if picture is None:
        raise SystemExit(f'{path}: cannot be read as a picture')
    width = round(picture.shape[1] * height / picture.shape[0])
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)


def sheet(pictures: list[np.ndarray], columns: int, gap: int = 8) -> np.ndarray:
    """Rows of ``columns`` pictures of one height, on white."""
    rows = [pictures[i : i + columns] for i in range(0, len(pictures), columns)]
    widths = [sum(picture.shape[1] + gap for picture in row) for row in rows]
    height = pictures[0].shape[0] + gap
    canvas = np.full((height * len(rows) - gap, max(widths) - gap, 3), 255, dtype=np.uint8)
    for i, row in enumerate(rows):
        left = 0
        for picture in row:
            canvas[i * height : i * height + picture.shape[0], left : left + picture.shape[1]] = picture
            left += picture.shape[1] + gap
    return canvas


def main():
    args = parse_args()
    pictures = [read(path, args.height) for path in find_pictures(args.source)[: args.count]]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(args.out), sheet(pictures, args.columns)):
        raise SystemExit(f'{args.out}: cannot be written')
    print(f'{args.out}: {len(pictures)} pictures')


if __name__ == '__main__':
    main()
