"""Frames of video files, streams and cameras, read by OpenCV, and videos with detections."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import InputError

VIDEO_SUFFIXES = ('.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v', '.mpg', '.mpeg', '.wmv', '.flv')
ADDRESS = re.compile(r'(rtsps?|rtmp|https?|udp|tcp)://', re.IGNORECASE)


def is_live(source: str) -> bool:
    """Return whether a source is the address of a stream or the number of a camera."""
    return bool(ADDRESS.match(source)) or (source.isdecimal() and not Path(source).exists())


def require_utf8(path: str) -> None:
    """Raise InputError for a name of bytes that are no UTF-8, on which OpenCV's reader and writer of videos crash."""
    if any(0xD800 <= ord(char) < 0xE000 for char in path):
        raise InputError(f'{path!a}: its name is no UTF-8; rename it')


class Frames:
    """Frames of a video file, the address of a stream, or the number of a camera.

    Iterates over BGR arrays ``(H, W, 3)``.

    Attributes:
        name: Name of the files that are written about it.
        total: Number of frames; 0 if it is not known, as for cameras.
        fps: Frames a second.
        count: Number of frames that were read.

    Raises:
        InputError: If OpenCV cannot open the source.
    """

    def __init__(self, source: str):
        self.source = source
        live = is_live(source)
        require_utf8(source)
        if live and source.isdecimal():
            kind, self.name = 'camera', f'camera_{source}'
        elif live:
            kind, self.name = 'stream', re.sub(r'\W+', '_', source.split('://')[-1]).strip('_')
        else:
            kind, self.name = 'video', Path(source).stem
        self.capture = cv2.VideoCapture(int(source) if kind == 'camera' else source)
        if not self.capture.isOpened():
            raise InputError(f'{source}: no {kind} that OpenCV can open')
        frames = self.capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.total = 0 if live else max(int(frames), 0)
        fps = self.capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0 < fps <= 1000 else 25.0
        self.count = 0

    def __iter__(self) -> Iterator[np.ndarray]:
        try:
            while True:
                is_read, frame = self.capture.read()
                if not is_read:
                    return
                self.count += 1
                yield frame
        finally:
            self.capture.release()

    @property
    def problem(self) -> str | None:
        """What is wrong with what was read so far; None if nothing is."""
        if not self.count:
            return f'{self.source}: no frame of it can be read'
        if self.count < self.total:
            return f'{self.source}: only {self.count} of its {self.total} frames can be read: it is cut off or damaged'
        return None


class VideoResults:
    """Writes ``vis/NAME.mp4``, of ``fps`` frames a second, and ``preds/NAME.json`` with an entry for each frame.

    A context manager. Both files are complete whenever it ends, also by an exception or by Ctrl-C.
    """

    def __init__(self, folder: Path, name: str, fps: float):
        for sub in ('vis', 'preds'):
            (folder / sub).mkdir(parents=True, exist_ok=True)
        self.path, self.fps = folder / 'vis' / f'{name}.mp4', fps
        require_utf8(str(self.path))
        self.writer: cv2.VideoWriter | None = None
        self.predictions = open(folder / 'preds' / f'{name}.json', 'w', encoding='utf-8')  # noqa: SIM115
        self.count = 0

    def __enter__(self) -> 'VideoResults':
        self.predictions.write('[')
        return self

    def write(self, drawn: np.ndarray, found: dict[str, Any]) -> None:
        """Write a BGR frame ``(H, W, 3)`` with detections drawn, and the detections."""
        if self.writer is None:  # a visualizer may enlarge the frames
            self.writer = cv2.VideoWriter(str(self.path), cv2.VideoWriter.fourcc(*'mp4v'), self.fps, drawn.shape[1::-1])
            if not self.writer.isOpened():
                raise InputError(f'{self.path}: cannot be written')
        self.writer.write(np.ascontiguousarray(drawn))
        self.predictions.write((',\n' if self.count else '\n') + json.dumps(found))
        self.count += 1

    def __exit__(self, *error: Any) -> None:
        if self.writer is not None:
            self.writer.release()
        self.predictions.write('\n]\n')
        self.predictions.close()
