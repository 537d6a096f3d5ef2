"""Pictures: files that cannot be read, and sizes that are not those of the annotations, named before they do harm."""

import io
import stat
import warnings
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.fileio import LocalBackend, register_backend
from mmengine.registry import TRANSFORMS
from PIL import Image

from ..errors import InputError

MAX_PIXELS = 100_000_000
ORIENTATION = 0x0112  # tag of EXIF; from 5 on, width and height change places


def read_picture(path: str | Path, max_pixels: int = MAX_PIXELS) -> bytes:
    """The bytes of a picture that can be decoded; of a JPEG only the header and the end are looked at.

    Raises:
        InputError: If there is no such file, it is something else than a file, empty, no picture, cut off, or of more
            than ``max_pixels``; names it.
    """
    try:
        mode = Path(path).stat().st_mode
        if not stat.S_ISREG(mode):
            raise InputError(f'{path}: is no file' if not stat.S_ISDIR(mode) else f'{path}: is a folder')
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f'{path}: cannot be read: {error.strerror}') from error
    if not content:
        raise InputError(f'{path}: is empty')
    with _header(content, path) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise InputError(
                f'{path}: has {width} x {height} pixels, more than {max_pixels:,}; cut it into parts, or raise '
                "max_pixels: LoadImageFromFile(backend_args=dict(backend='picture', max_pixels=...))"
            )
        seen = hash((str(path), len(content), zlib.crc32(content)))
        if seen not in _whole:  # those but JPEGs are decoded for it, once a process
            _check_whole(image, content, path)
            _whole.add(seen)
    return content


_whole: set[int] = set()


def _header(content: bytes, path: str | Path) -> Image.Image:
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # ours is checked next, and names the file
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            return Image.open(io.BytesIO(content))
    except Exception as error:  # whatever a broken header makes its reader fail with
        raise InputError(f'{path}: is no picture that can be read') from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _check_whole(image: Image.Image, content: bytes, path: str | Path) -> None:
    """Decoders fill up with gray what a JPEG lacks; what they give up on, they do not name."""
    if image.format == 'JPEG':
        if content.rfind(b'\xff\xd9') < len(content) // 2:  # that of a thumbnail is early
            raise InputError(f'{path}: is damaged: the file is cut off')
        return  # not decoded twice, as most are JPEGs
    try:
        if image.format == 'PNG':
            image.verify()  # checksums
        is_decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) is not None
    except Exception as error:
        raise InputError(f'{path}: is damaged: {" ".join(str(error).split())}') from error
    if not is_decoded:
        raise InputError(f'{path}: is damaged, or a {image.format} of a kind that OpenCV cannot decode')


class PictureBackend(LocalBackend):
    """mmengine's local files for pictures: ``LoadImageFromFile(backend_args=dict(backend='picture'))``.

    Args:
        max_pixels: Larger pictures are refused. Defaults to 100 million.
    """

    def __init__(self, max_pixels: int = MAX_PIXELS):
        self.max_pixels = max_pixels

    def get(self, filepath: str | Path) -> bytes:
        return read_picture(filepath, self.max_pixels)


register_backend('picture', PictureBackend, force=True)


@TRANSFORMS.register_module()
class CheckPicture(BaseTransform):
    """Three channels of whatever was loaded, in the size that the annotations are for; follows ``LoadImageFromFile``.

    Gray pictures ``(H, W)`` or ``(H, W, 1)`` get three equal channels, of ``(H, W, 4)`` the fourth is left out.

    Required keys: ``img``; optional ``width`` and ``height``, as the annotation file has them.

    Raises:
        InputError: If the picture has another number of dimensions or channels, no pixels, or another size than its
            annotations say; names it.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        image, name = results['img'], results.get('img_path') or 'the picture'
        if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3, 4)) or 0 in image.shape:
            raise InputError(f'{name}: is an array of shape {image.shape}, must be (H, W), or (H, W, 1), 3 or 4')
        if image.ndim == 2 or image.shape[2] != 3:
            image = image[..., None] if image.ndim == 2 else image[..., :3]
            results['img'] = np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)))
        size, noted = image.shape[:2], (results.get('height'), results.get('width'))
        if None not in noted and size != noted:
            cure = ''
            if size == noted[::-1] and _orientation(name) >= 5:
                cure = (
                    '; it is turned as its EXIF orientation says, its annotations are for the picture as it is stored: '
                    "LoadImageFromFile(color_type='color_ignore_orientation')"
                )
            raise InputError(
                f'{name}: is {size[1]} x {size[0]} pixels, its entry in the annotation file says '
                f'{noted[1]} x {noted[0]}{cure}'
            )
        return results


def _orientation(path: str) -> int:
    try:
        with Image.open(path) as image:
            return image.getexif().get(ORIENTATION, 1)
    except (OSError, SyntaxError):
        return 1
