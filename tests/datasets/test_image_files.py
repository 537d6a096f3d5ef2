"""Images that cannot be read are named, before they take memory or hang a run."""

import io
import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from mmengine.registry import TRANSFORMS
from PIL import Image, features

from mmspartan.datasets import image_files
from mmspartan.datasets.image_files import BY_PILLOW, CheckPicture, read_image, write_image
from mmspartan.errors import InputError


def encoded(kind: str, size: tuple[int, int] = (64, 48), **options) -> bytes:
    if kind == 'AVIF' and not features.check('avif'):
        pytest.skip('Pillow writes AVIF from 11.3 on')
    content, pixels = io.BytesIO(), np.random.default_rng(0).integers(0, 255, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(content, kind, **options)
    return content.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is of this size and holds no pixels."""
    chunks = [(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)), (b'IDAT', b''), (b'IEND', b'')]
    parts = [
        struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data)) for name, data in chunks
    ]
    return b'\x89PNG\r\n\x1a\n' + b''.join(parts)


@pytest.mark.parametrize('kind', ['PNG', 'JPEG', 'BMP', 'WEBP', 'TIFF', 'GIF', 'AVIF'])
def test_images_of_all_kinds_are_read_whatever_they_are_called(kind, tmp_path):
    path = tmp_path / 'picture.txt'
    path.write_bytes(encoded(kind))
    if kind not in BY_PILLOW:  # which older versions of OpenCV do not decode
        assert read_image(path) == path.read_bytes()
    load = LoadImageFromFile(backend_args=dict(backend='picture'))
    assert load(dict(img_path=str(path)))['img'].shape == (48, 64, 3)


@pytest.mark.parametrize('kind', ['GIF', 'AVIF'])
def test_what_only_pillow_decodes_becomes_a_bitmap(kind, tmp_path, monkeypatch):
    path = tmp_path / f'{kind}.jpg'
    path.write_bytes(encoded(kind, (60, 48)))
    monkeypatch.setattr(image_files.cv2, 'imdecode', lambda content, flags: None)
    content = [read_image(path), read_image(path)][1]
    monkeypatch.undo()
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(pixels[..., ::-1], np.asarray(Image.open(path).convert('RGB')))


BROKEN = {
    'empty': (b'', 'is empty'),
    'HEIC': (b'\0\0\0\x18ftypheic' + bytes(100), '.*HEIC'),
    'text': (b'hello', 'is no image that can be read'),
    'cut': (encoded('PNG')[:-30], 'is damaged'),
    'checksum': (encoded('PNG')[:200] + b'no' + encoded('PNG')[202:], 'is damaged'),
    'no end': (encoded('PNG')[:-3], 'is damaged'),
    'cut JPEG': (encoded('JPEG')[:-100], 'is damaged: the file is cut off'),
    'cut BMP': (encoded('BMP')[:-100], 'is damaged, or a BMP of a kind that OpenCV cannot decode'),
    'cut TIFF': (encoded('TIFF')[:-300], 'is damaged'),
    'no pixels': (png_header(64, 48), 'is damaged'),
    'huge': (png_header(65000, 65000), 'has 65000 x 65000 pixels, more than 100,000,000; .*max_pixels'),
    'large': (png_header(20000, 20000), 'has 20000 x 20000 pixels'),
}


@pytest.mark.parametrize(('content', 'message'), BROKEN.values(), ids=BROKEN)
def test_file_that_cannot_be_decoded_is_named(content, message, tmp_path):
    path = tmp_path / 'a.png'
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf'a\.png: {message}'):
        LoadImageFromFile(backend_args=dict(backend='picture'))(dict(img_path=str(path)))


def test_what_is_no_file_is_named_and_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    for path, message in [
        (tmp_path / 'pipe', 'pipe: is no file'),
        ('/dev/zero', 'zero: is no file'),
        (tmp_path, 'is a folder'),
        (tmp_path / 'none.png', r'none\.png: cannot be read: No such file'),
    ]:
        with pytest.raises(InputError, match=message):
            read_image(path)


def test_limit_of_pixels_is_an_option(tmp_path):
    (tmp_path / 'a.png').write_bytes(encoded('PNG'))
    load = LoadImageFromFile(backend_args=dict(backend='picture', max_pixels=1000))
    with pytest.raises(InputError, match='64 x 48 pixels, more than 1,000'):
        load(dict(img_path=str(tmp_path / 'a.png')))


@pytest.mark.parametrize('shape', [(4, 5), (4, 5, 1), (4, 5, 3), (4, 5, 4)])
def test_images_get_three_channels(shape):
    image = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    found = TRANSFORMS.build(dict(type='CheckPicture'))(dict(img=image))['img']
    expected = np.stack([image.reshape(4, 5)] * 3, -1) if image.size == 20 else image[..., :3]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize('shape', [(4,), (4, 5, 2), (1, 4, 5, 3), (0, 5, 3)])
def test_arrays_that_are_no_images_are_named(shape):
    with pytest.raises(InputError, match='the image: is an array of shape'):
        CheckPicture()(dict(img=np.zeros(shape, np.uint8), img_path=None))


def test_size_that_is_not_the_annotations_is_named_with_the_orientation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / 'turned.jpg'
    path.write_bytes(encoded('JPEG', exif=exif))
    info = dict(img_path=str(path), width=64, height=48)
    with pytest.raises(
        InputError, match=r'turned\.jpg: is 48 x 64 pixels, .* says 64 x 48; .*EXIF.*ignore_orientation'
    ):
        CheckPicture()(LoadImageFromFile()(dict(info)))
    stored = LoadImageFromFile(color_type='color_ignore_orientation')
    assert CheckPicture()(stored(dict(info)))['img'].shape == (48, 64, 3)
    with pytest.raises(InputError, match=r'turned\.jpg: is 64 x 48 pixels, its entry .* says 64 x 47$'):
        CheckPicture()(stored(dict(info, height=47)))


def test_images_are_written_by_any_name_or_refused(tmp_path):
    image = np.full((4, 6, 3), 99, np.uint8)
    path = tmp_path / '\udcff \u6570.png'  # cv2.imwrite crashes on the first letter
    write_image(path, image)
    assert (cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR) == image).all()
    for name in ('a.none', 'a', 'no/folder.png', f'{"x" * 300}.png'):
        with pytest.raises(InputError, match='cannot be written'):
            write_image(tmp_path / name, image)
