"""Images: bytes, formats, depths, channels, sizes, and what is no file."""

import io
import json
import random
import struct
import zlib

import cv2
import numpy as np
from PIL import Image, ImageOps

from ..case import Bench, Case, replace
from .files import NO_FILES, junk, make_no_file

NAME = '00002.png'  # the image that is mutated
COMMANDS = {'test': 'val', 'train': 'train', 'demo': 'val', 'demo folder': 'val'}  # with what each reads
ORIENTATION = 0x0112  # tag of EXIF


class Picture:
    """The image of a bench that is mutated, read by one of the commands."""

    def __init__(self, bench: Bench, command: str):
        self.bench, self.command = bench, command
        self.name = f'digits/{COMMANDS[command]}/{NAME}'
        self.path = bench.mutated / self.name
        self.content = self.path.read_bytes()
        self.image = Image.open(io.BytesIO(self.content)).convert('RGB')
        self.is_annotated = command in ('test', 'train')

    def write(self, content: bytes) -> None:
        replace(self.path, content)

    def refer_to(self, image: Image.Image) -> None:
        """What the mutated image has to be seen as."""
        replace(self.bench.reference / self.name, encoded(image.convert('RGB'), 'PNG'))

    def annotate_size(self, width: int, height: int) -> None:
        """Change what the annotation files say, of the mutated image and of the reference."""
        for folder in (self.bench.mutated, self.bench.reference):
            path = folder / 'digits' / f'{COMMANDS[self.command]}.json'
            content = json.loads(path.read_text())
            image = next(image for image in content['images'] if image['file_name'] == NAME)
            image.update(width=width, height=height)
            replace(path, json.dumps(content))

    def case(self, what: str, expected: str, report: str = '') -> Case:
        return Case(f'{self.name}: {what}', self.command, expected, [NAME], [NAME], report)


def mutate(rng: random.Random, bench: Bench) -> Case:
    """An image, read by an evaluation, a training or the demo."""
    return rng.choice(MUTATIONS)(rng, Picture(bench, rng.choice(list(COMMANDS))))


def encoded(image: Image.Image, format: str, **options) -> bytes:
    content = io.BytesIO()
    image.save(content, format, **options)
    return content.getvalue()


def seen_by_opencv(content: bytes) -> Image.Image:
    """Decoders of JPEG differ in the last bits, so that Pillow's is no reference."""
    return Image.fromarray(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1])


def truncated(rng: random.Random, picture: Picture) -> Case:
    format = rng.choice(['PNG', 'JPEG', 'PNG', 'JPEG', 'BMP', 'WEBP', 'GIF', 'TIFF'])
    content = encoded(picture.image, format, **(dict(lossless=True) if format == 'WEBP' else {}))
    size = rng.choice([1, 8, 20, rng.randrange(len(content)), rng.randrange(len(content)), len(content) - 20])
    picture.write(content[:size])
    return picture.case(f'{format} of {len(content)} bytes cut to {size}', 'refused')


def bits_flipped(rng: random.Random, picture: Picture) -> Case:
    """A PNG has checksums of all that counts; its last bytes close it and hold nothing, nor do those that follow."""
    content = bytearray(picture.content)
    places = [rng.randrange(rng.choice([8, 33, len(content)])) for _ in range(rng.choice([0, 1, 1, 2, 8]))]
    for place in places:
        content[place] ^= 1 << rng.randrange(8)
    more = rng.choice([b'', b'', b'\n', rng.randbytes(500)])
    picture.write(bytes(content) + more)
    return picture.case(f'bits flipped in the bytes {places}, {len(more)} bytes appended', 'either')


def no_picture(rng: random.Random, picture: Picture) -> Case:
    content = {
        **junk(rng, picture.content),
        'an SVG': b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"></svg>',
        'a video': b'\0\0\0\x18ftypmp42' + bytes(500),
        'only a signature': picture.content[:8],
        'a signature and anything': picture.content[:8] + rng.randbytes(500),
        'JPEG markers alone': b'\xff\xd8\xff\xd9',
        'BMP header alone': b'BM' + bytes(52),
        'GIF header alone': b'GIF89a' + bytes(20),
    }
    what = rng.choice(list(content))
    picture.write(content[what])
    return picture.case(f'is {what}', 'refused')


def other_format(rng: random.Random, picture: Picture) -> Case:
    """Under a name that ends with .png."""
    format = rng.choice(['BMP', 'WEBP', 'TIFF', 'GIF', 'PPM', 'JPEG', 'JPEG2000', 'ICO', 'TGA', 'PCX', 'DDS'])
    image = picture.image
    if format == 'GIF':
        image = image.quantize(64)
    options = {'WEBP': dict(lossless=True), 'JPEG2000': dict(irreversible=False), 'ICO': dict(sizes=[(64, 64)])}
    content = encoded(image, format, **options.get(format, {}))
    picture.write(content)
    picture.refer_to(seen_by_opencv(content) if format == 'JPEG' else image)
    return picture.case(f'is a {format}', 'same' if format in ('BMP', 'WEBP', 'TIFF', 'PPM', 'JPEG') else 'either')


def other_depth(rng: random.Random, picture: Picture) -> Case:
    """Gray, palette, alpha, 1 and 16 bits; what is seen is Pillow's or, of 16 bits, the upper 8."""
    image, array = picture.image, np.asarray(picture.image)
    how = rng.choice(['gray', 'gray and alpha', 'alpha', 'palette', 'palette with alpha', '1 bit', '16', '16 gray'])
    if how in ('16', '16 gray'):
        array = array[..., ::-1] if how == '16' else array[..., 1]
        picture.write(cv2.imencode('.png', array.astype(np.uint16) * 257)[1].tobytes())
        picture.refer_to(Image.fromarray(np.ascontiguousarray(array[..., ::-1] if how == '16' else array)))
        return picture.case(f'PNG, {how} bits', 'same')
    options = {}
    if how == 'alpha':
        image = image.copy()
        image.putalpha(Image.fromarray(array[..., 0]))
    elif how == 'palette with alpha':
        image, options = image.quantize(16), dict(transparency=3)
    else:
        modes = {'gray': 'L', 'gray and alpha': 'LA', 'palette': 'P', '1 bit': '1'}
        image = image.convert(modes[how])
    picture.write(encoded(image, 'PNG', **options))
    picture.refer_to(image)
    return picture.case(f'PNG, {how}', 'same')


def other_jpeg(rng: random.Random, picture: Picture) -> Case:
    """Gray, four colours, progressive, with a thumbnail or text that is broken."""
    how = rng.choice(['gray', 'CMYK', 'progressive', 'quality 1', 'comment', 'ICC profile', 'EXIF'])
    modes = {'gray': 'L', 'CMYK': 'CMYK'}
    options = {
        'progressive': dict(progressive=True),
        'quality 1': dict(quality=1),
        'comment': dict(comment=rng.randbytes(5000)),
        'ICC profile': dict(icc_profile=rng.randbytes(500)),
        'EXIF': dict(exif=b'Exif\0\0' + rng.randbytes(200)),
    }
    content = encoded(picture.image.convert(modes.get(how, 'RGB')), 'JPEG', **options.get(how, {}))
    picture.write(content)
    picture.refer_to(seen_by_opencv(content))
    return picture.case(f'JPEG, {how}', 'same')


def orientation(rng: random.Random, picture: Picture) -> Case:
    """A JPEG that EXIF turns: boxes are for the image as viewers show it, unless the sizes say something else."""
    value, size = rng.randrange(0, 10), rng.choice([(64, 64), (64, 48)])
    exif = Image.Exif()
    exif[ORIENTATION] = value
    content = encoded(picture.image.crop((0, 0, *size)), 'JPEG', quality=95, exif=exif)
    shown = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    plain = encoded(picture.image.crop((0, 0, *size)), 'JPEG', quality=95)
    exif_of_shown = Image.Exif()
    exif_of_shown[ORIENTATION] = value
    decoded = seen_by_opencv(plain)
    decoded.info['exif'] = exif_of_shown.tobytes()
    turned = ImageOps.exif_transpose(Image.open(io.BytesIO(encoded(decoded, 'PNG', exif=exif_of_shown))))
    picture.write(content)
    picture.refer_to(turned)
    noted = shown.size
    if picture.is_annotated and shown.size != size and rng.random() < 0.5:
        noted = size
    picture.annotate_size(*noted)
    expected = 'refused' if picture.is_annotated and noted != shown.size else 'same'
    return picture.case(f'JPEG of {size} with EXIF orientation {value}, noted as {noted}', expected)


def size_in_header(rng: random.Random, picture: Picture) -> Case:
    """A PNG whose header promises more than there is; its checksum fits."""
    sizes = [
        *((64, 65), (64, 128), (128, 64), (8000, 8000), (20000, 20000), (65000, 65000), (0, 64), (64, 0)),
        *((2**31 - 1, 2**31 - 1), (2**32 - 1, 1), (1, 2**31 - 1)),
    ]
    width, height = rng.choice(sizes)
    header = b'IHDR' + struct.pack('>II', width, height) + picture.content[24:29]
    picture.write(picture.content[:12] + header + struct.pack('>I', zlib.crc32(header)) + picture.content[33:])
    if picture.is_annotated and rng.random() < 0.5 and 0 < width < 10**9 and 0 < height < 10**9:
        picture.annotate_size(width, height)
    return picture.case(f'header says {width} x {height}', 'refused')


def other_size(rng: random.Random, picture: Picture) -> Case:
    """Than the annotation file says; for the demo, sizes at the edge."""
    if picture.is_annotated:
        size = rng.choice([(32, 32), (64, 63), (63, 64), (65, 64), (128, 128), (1, 1), (64, 1)])
    else:
        size = rng.choice([(1, 1), (1, 500), (500, 1), (3, 7), (640, 480), (2000, 3)])
    image = picture.image.resize(size)
    picture.write(encoded(image, 'PNG'))
    picture.refer_to(image)
    return picture.case(f'is {size[0]} x {size[1]} pixels', 'refused' if picture.is_annotated else 'same')


def no_file(rng: random.Random, picture: Picture) -> Case:
    how = rng.choice([*NO_FILES, 'a link'])
    if how == 'missing' and picture.command == 'demo folder':
        how = 'a pipe'  # nobody misses an image there
    if how == 'a link':
        elsewhere = picture.bench.mutated / 'elsewhere'
        picture.path.rename(elsewhere)
        picture.path.symlink_to(elsewhere)
    else:
        make_no_file(picture.path, how)
    return picture.case(f'is {how}', 'same' if how == 'a link' else 'refused')


def more_chunks(rng: random.Random, picture: Picture) -> Case:
    """Text, profiles and the like between header and pixels, some of them broken inside."""
    kind = rng.choice([b'tEXt', b'zTXt', b'iTXt', b'iCCP', b'gAMA', b'pHYs', b'tIME', b'eXIf', b'abcd', b'acTL'])
    text = rng.choice([b'', b'a\0', b'a\0\0' + zlib.compress(bytes(10_000_000)), rng.randbytes(100), b'x' * 100])
    if kind == b'gAMA':  # that of the pixels as they are
        text = struct.pack('>I', 45455)
    chunk = struct.pack('>I', len(text)) + kind + text + struct.pack('>I', zlib.crc32(kind + text))
    picture.write(picture.content[:33] + chunk + picture.content[33:])
    return picture.case(f'with {len(text)} bytes of {kind.decode()}', 'either')


def frames(rng: random.Random, picture: Picture) -> Case:
    """Of more than one image the first is meant."""
    format = rng.choice(['PNG', 'TIFF', 'GIF', 'WEBP'])
    first = picture.image.quantize(64) if format == 'GIF' else picture.image
    others = [ImageOps.invert(picture.image)] * 2
    options = dict(lossless=True) if format == 'WEBP' else {}
    picture.write(encoded(first, format, save_all=True, append_images=others, **options))
    picture.refer_to(first)
    return picture.case(f'{format} of three frames', 'either')


MUTATIONS = [
    *(truncated, truncated, bits_flipped, bits_flipped, no_picture, other_format, other_depth, other_jpeg),
    *(orientation, size_in_header, other_size, no_file, more_chunks, frames),
]
