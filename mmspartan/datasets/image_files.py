"""Checks of images: files that cannot be decoded, and sizes that differ from the annotations."""

import io
import stat
import warnings
import zlib
from pathlib import Path
from typing import Any

import cv2
import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.fileio import LocalBackend, register_backend
from mmengine.registry import TRANSFORMS
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import BITSPERSAMPLE, TiffImageFile

from mmspartan_cli import shown

from ..errors import InputError

MAX_PIXELS = 100_000_000
BY_PILLOW = ('AVIF', 'GIF', 'HEIF', 'JPEG2000')  # decoded by Pillow where OpenCV is built without them
ORIENTATION = 0x0112  # EXIF tag; values from 5 on exchange width and height
DARK = 12  # bits of a value of the usual cameras and scanners that write 16-bit files


def read_image(path: str | Path, max_pixels: int = MAX_PIXELS) -> bytes:
    """Read an image file and check that it can be decoded; of a JPEG only the header and the end are checked.

    Returns:
        bytes: The content of the file; of one that Pillow decodes and OpenCV does not, the upright image as BMP.

    Raises:
        InputError: If the file does not exist, is not a regular file, is empty, truncated or not an image, or has more
            than ``max_pixels`` pixels. The message names it.
    """
    try:
        mode = Path(path).stat().st_mode
        if not stat.S_ISREG(mode):
            raise InputError(f'{path}: is no file' if not stat.S_ISDIR(mode) else f'{path}: is a folder')
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f'{shown(str(path))}: cannot be read: {error.strerror}') from error
    if not content:
        raise InputError(f'{path}: is empty')
    with _header(content, path) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise InputError(
                f'{path}: has {width} x {height} pixels, more than {max_pixels:,}; detect in parts (--slice, '
                'slice_size), or raise max_pixels: '
                "LoadImageFromFile(backend_args=dict(backend='picture', max_pixels=...))"
            )
        seen = hash((str(path), len(content), zlib.crc32(content)))
        if seen not in _is_for_opencv:  # the check decodes all formats but JPEG, once a process
            _is_for_opencv[seen] = _check_complete(image, content, path)
        return content if _is_for_opencv[seen] else _as_bmp(image, path)


def decode_image(content: bytes, path: str | Path, flag: str = 'color') -> np.ndarray:
    """Return the BGR image ``(H, W, 3)`` of the content of a file, decoded as mmcv's ``LoadImageFromFile`` does.

    Raises:
        InputError: If it cannot be decoded. The message names the file.
    """
    image = mmcv.imfrombytes(content, flag)
    if image is None:
        raise InputError(f'{path}: is damaged, or an image of a kind that OpenCV cannot decode')
    return image


def decode_deep_image(content: bytes, bits: int) -> np.ndarray:
    """Return the BGR image ``(H, W, 3)``, uint8, of the content of a 16-bit image with ``bits`` used of a value."""
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR)
    assert pixels is not None  # `value_bits` has decoded it
    return to_8_bits(pixels, bits)


def to_8_bits(pixels: np.ndarray, bits: int) -> np.ndarray:
    """Return the highest 8 bits of values of 16-bit images, which have ``bits``."""
    return np.right_shift(pixels, bits - 8).astype(np.uint8)


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Write a BGR image ``(H, W, 3)`` in the format of the path's suffix; ``cv2.imwrite`` crashes on some names.

    Raises:
        InputError: If it cannot be written. The message names the file.
    """
    try:
        is_encoded, content = cv2.imencode(Path(path).suffix, image)
        if is_encoded:
            Path(path).write_bytes(content.tobytes())
    except cv2.error:
        is_encoded = False
    except OSError as error:
        raise InputError(f'{path}: cannot be written: {error.strerror}') from error
    if not is_encoded:
        raise InputError(f'{path}: cannot be written: OpenCV has no format for {Path(path).suffix!r}')


def value_bits(image: Image.Image, content: bytes, path: str | Path) -> int:
    """Return the bits of the largest value of an image with 16 bits a value, 0 for other images.

    A decoder takes 65535 as white. Raises InputError, which names the file, for more bits, which OpenCV would cut.
    """
    is_deep = image.mode[0] in 'IF' or (image.format == 'PNG' and content[24] > 8)
    if isinstance(image, TiffImageFile):
        is_deep |= max(image.tag_v2.get(BITSPERSAMPLE, (8,))) > 8
    if not is_deep:
        return 0
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(f'{path}: has values of more than 16 bits ({image.mode}); convert it')
    return int(pixels.max()).bit_length() if pixels.dtype == np.uint16 else 0


_is_for_opencv: dict[int, bool] = {}


def _as_bmp(image: Image.Image, path: str | Path) -> bytes:
    content = io.BytesIO()
    try:
        ImageOps.exif_transpose(image).convert('RGB').save(content, 'BMP')
    except Exception as error:
        raise InputError(f'{path}: is damaged: {" ".join(str(error).split())}') from error
    return content.getvalue()


def _header(content: bytes, path: str | Path) -> Image.Image:
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # see max_pixels of read_image
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            return Image.open(io.BytesIO(content))
    except Exception as error:  # a broken header raises errors of any type
        is_heic = content[4:12] in (b'ftypheic', b'ftypheix', b'ftypmif1', b'ftypmsf1')
        advice = ': it is HEIC, which neither OpenCV nor Pillow reads; convert it to JPEG' if is_heic else ''
        raise InputError(f'{path}: is no image that can be read{advice}') from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _check_complete(image: Image.Image, content: bytes, path: str | Path) -> bool:
    """Check that an image file is complete, and return whether OpenCV decodes it.

    A decoder fills the missing part of a JPEG with gray, and its errors for other formats do not name the file.
    """
    if image.format == 'JPEG':
        if content.rfind(b'\xff\xd9') < len(content) // 2:  # an earlier end marker belongs to a thumbnail
            raise InputError(f'{path}: is damaged: the file is cut off')
        return True  # most images are JPEGs: decoding them here as well would cost time
    try:
        if image.format == 'PNG':
            image.verify()  # checksums
        is_decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) is not None
    except Exception as error:
        raise InputError(f'{path}: is damaged: {" ".join(str(error).split())}') from error
    if not is_decoded:
        if image.format not in BY_PILLOW:
            raise InputError(f'{path}: is damaged, or a {image.format} of a kind that OpenCV cannot decode')
        _as_bmp(image, path)
    return is_decoded


class PictureBackend(LocalBackend):
    """mmengine's ``LocalBackend`` for images: ``LoadImageFromFile(backend_args=dict(backend='picture'))``.

    Args:
        max_pixels: Largest number of pixels of an image. Defaults to 100 million.
    """

    def __init__(self, max_pixels: int = MAX_PIXELS):
        self.max_pixels = max_pixels

    def get(self, filepath: str | Path) -> bytes:
        return read_image(filepath, self.max_pixels)


register_backend('picture', PictureBackend, force=True)


@TRANSFORMS.register_module()
class CheckPicture(BaseTransform):
    """Convert an image to three channels and check its size; follows ``LoadImageFromFile``.

    A gray image ``(H, W)`` or ``(H, W, 1)`` gets three equal channels. The fourth channel of ``(H, W, 4)`` is removed.

    Required keys: ``img``. Optional keys: ``width`` and ``height`` from the annotation file, in pixels.

    Raises:
        InputError: If the image has another number of dimensions or channels, no pixels, or another size than in the
            annotation file. The message names it.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        image, name = results['img'], results.get('img_path') or 'the image'
        if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3, 4)) or 0 in image.shape:
            raise InputError(f'{name}: is an array of shape {image.shape}, must be (H, W), or (H, W, 1), 3 or 4')
        if image.ndim == 2 or image.shape[2] != 3:
            image = image[..., None] if image.ndim == 2 else image[..., :3]
            results['img'] = np.ascontiguousarray(np.broadcast_to(image, (*image.shape[:2], 3)))
        size, annotated = image.shape[:2], (results.get('height'), results.get('width'))
        if None not in annotated and size != annotated:
            advice = ''
            if size == annotated[::-1] and _orientation(name) >= 5:
                advice = (
                    '; it was rotated by its EXIF orientation, but the annotations are for the image without rotation: '
                    "LoadImageFromFile(color_type='color_ignore_orientation')"
                )
            raise InputError(
                f'{name}: is {size[1]} x {size[0]} pixels, its entry in the annotation file says '
                f'{annotated[1]} x {annotated[0]}{advice}'
            )
        return results


def _orientation(path: str) -> int:
    try:
        with Image.open(path) as image:
            return image.getexif().get(ORIENTATION, 1)
    except (OSError, SyntaxError):
        return 1
