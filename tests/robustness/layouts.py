"""One small dataset in each layout that ``tools/prepare_dataset.py`` reads, without a fault, a guess or a note."""

import json
import random
from functools import partial
from pathlib import Path

from tests.datasets.prepare import conftest

WIDTH, HEIGHT = 64, 48
draw = partial(conftest.draw, width=WIDTH, height=HEIGHT)
CLASSES = ('bolt', 'nut', 'washer')
Box = tuple[int, int, int, int]  # x, y, width, height
Parts = dict[str, list[tuple[str, Box]]]  # objects by the image's name


def make_parts() -> dict[str, Parts]:
    """Return names of images with their objects, by split; boxes touch the upper left corner of some images."""
    rng = random.Random(0)

    def box() -> Box:
        return rng.randrange(2, 30), rng.randrange(2, 20), rng.randrange(8, 30), rng.randrange(8, 24)

    objects = [[(rng.choice(CLASSES), box()) for _ in range(rng.randrange(1, 4))] for _ in range(9)]
    for found in objects[::3]:
        found.append((CLASSES[0], (0, 0, 9, 10)))
    parts = {f'part_{i}.png': found for i, found in enumerate(objects)}
    names = list(parts)
    return {split: {name: parts[name] for name in names[a:b]} for split, a, b in (('train', 0, 6), ('val', 6, 9))}


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def corners(box: Box) -> tuple[int, int, int, int]:
    x, y, width, height = box
    return x, y, x + width, y + height


def outline(box: Box) -> list[list[int]]:
    x0, y0, x1, y1 = corners(box)
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]


def coco_of(parts: Parts) -> dict:
    """Some objects have a polygon or runs of a mask instead of a box."""
    annotations: list[dict] = []
    for image_id, found in enumerate(parts.values(), 1):
        for name, box in found:
            x, y, width, height = box
            columns = [value for i in range(width) for value in (HEIGHT - height if i else x * HEIGHT + y, height)]
            runs = [*columns, WIDTH * HEIGHT - sum(columns)]
            shape = dict(
                bbox=dict(bbox=list(box), segmentation=[[value for point in outline(box) for value in point]]),
                polygon=dict(segmentation=[[value for point in outline(box) for value in point]]),
                mask=dict(segmentation=dict(size=[HEIGHT, WIDTH], counts=runs)),
            )[('bbox', 'bbox', 'polygon', 'mask')[len(annotations) % 4]]
            entry = dict(id=len(annotations) + 1, image_id=image_id, category_id=CLASSES.index(name) + 1, iscrowd=0)
            annotations.append({**entry, **shape})
    return dict(
        images=[dict(id=i, file_name=name, width=WIDTH, height=HEIGHT) for i, name in enumerate(parts, 1)],
        annotations=annotations,
        categories=[dict(id=i, name=name) for i, name in enumerate(CLASSES, 1)],
    )


def write_coco(folder: Path, split: str, parts: Parts) -> None:
    write(folder / 'annotations' / f'instances_{split}2017.json', coco_of(parts))
    for name in parts:
        draw(folder / f'{split}2017' / name)


def write_roboflow(folder: Path, split: str, parts: Parts) -> None:
    write(folder / split / '_annotations.coco.json', coco_of(parts))
    for name in parts:
        draw(folder / split / name)


def write_voc(folder: Path, split: str, parts: Parts) -> None:
    for name, found in parts.items():
        items = ''
        for label, box in found:
            x0, y0, x1, y1 = corners(box)
            sides = f'<xmin>{x0 + 1}</xmin><ymin>{y0 + 1}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax>'
            items += f'<object><name>{label}</name><difficult>0</difficult><bndbox>{sides}</bndbox></object>'
        size = f'<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>'
        text = f'<annotation><filename>{name}</filename>{size}{items}</annotation>'
        write(folder / 'Annotations' / f'{Path(name).stem}.xml', text)
        draw(folder / 'JPEGImages' / name)
    write(folder / 'ImageSets' / 'Main' / f'{split}.txt', ''.join(f'{Path(name).stem}\n' for name in parts))


def write_yolo(folder: Path, split: str, parts: Parts) -> None:
    for name, found in parts.items():
        lines = ''
        for label, (x, y, width, height) in found:
            values = (x + width / 2) / WIDTH, (y + height / 2) / HEIGHT, width / WIDTH, height / HEIGHT
            lines += f'{CLASSES.index(label)} ' + ' '.join(f'{value:.6f}' for value in values) + '\n'
        write(folder / 'labels' / split / f'{Path(name).stem}.txt', lines)
        draw(folder / 'images' / split / name)
    names = ''.join(f'  {i}: {name}\n' for i, name in enumerate(CLASSES))
    write(folder / 'data.yaml', f'path: .\ntrain: images/train\nval: images/val\nnc: 3\nnames:\n{names}')


def write_labelme(folder: Path, split: str, parts: Parts) -> None:
    for name, found in parts.items():
        shapes = []
        for i, (label, box) in enumerate(found):
            points, kind = (outline(box), 'polygon') if i % 2 else (outline(box)[::2], 'rectangle')
            shapes.append(dict(label=label, points=points, shape_type=kind, group_id=None, flags={}))
        content = dict(version='5.4.1', flags={}, shapes=shapes, imagePath=name, imageData=None)
        write(folder / split / f'{Path(name).stem}.json', {**content, 'imageHeight': HEIGHT, 'imageWidth': WIDTH})
        draw(folder / split / name)


def write_via(folder: Path, split: str, parts: Parts) -> None:
    images = {}
    for name, found in parts.items():
        draw(folder / split / name)
        regions = []
        for i, (label, box) in enumerate(found):
            x, y, width, height = box
            xs, ys = (list(values) for values in zip(*outline(box)))
            polygon = dict(name='polygon', all_points_x=xs, all_points_y=ys)
            shape = polygon if i % 2 else dict(name='rect', x=x, y=y, width=width, height=height)
            regions.append(dict(shape_attributes=shape, region_attributes=dict(part=label)))
        images[f'{name}99'] = dict(filename=name, size=99, regions=regions, file_attributes={})
    write(folder / split / 'via.json', dict(_via_settings={}, _via_img_metadata=images, _via_attributes={}))


def write_cvat(folder: Path, split: str, parts: Parts) -> None:
    images = ''
    for i, (name, found) in enumerate(parts.items()):
        draw(folder / split / name)
        items = ''
        for j, (label, box) in enumerate(found):
            x0, y0, x1, y1 = corners(box)
            points = ';'.join(f'{x},{y}' for x, y in outline(box))
            sides = f'xtl="{x0}" ytl="{y0}" xbr="{x1}" ybr="{y1}"'
            items += (
                f'<polygon label="{label}" points="{points}" occluded="0"/>'
                if j % 2
                else f'<box label="{label}" {sides} occluded="0"/>'
            )
        images += f'<image id="{i}" name="{name}" width="{WIDTH}" height="{HEIGHT}">{items}</image>'
    labels = ''.join(f'<label><name>{name}</name></label>' for name in CLASSES)
    meta = f'<version>1.1</version><meta><task><labels>{labels}</labels></task></meta>'
    write(folder / split / 'annotations.xml', f'<annotations>{meta}{images}</annotations>')


def write_label_studio(folder: Path, split: str, parts: Parts) -> None:
    tasks = []
    for i, (name, found) in enumerate(parts.items(), 1):
        draw(folder / split / name)
        shapes = []
        for label, (x, y, width, height) in found:
            x, y, width, height = (
                value * 100 / side for value, side in zip((x, y, width, height), (WIDTH, HEIGHT) * 2)
            )
            value = dict(x=x, y=y, width=width, height=height, rotation=0, rectanglelabels=[label])
            shapes.append(
                dict(
                    value=value,
                    from_name='label',
                    to_name='image',
                    type='rectanglelabels',
                    original_width=WIDTH,
                    original_height=HEIGHT,
                )
            )
        tasks.append(dict(id=i, annotations=[dict(id=i, result=shapes)], data=dict(image=name)))
    write(folder / split / 'export.json', tasks)


def write_supervisely(folder: Path, split: str, parts: Parts) -> None:
    for name, found in parts.items():
        draw(folder / split / 'img' / name)
        objects = [
            dict(classTitle=label, geometryType='rectangle', points=dict(exterior=outline(box)[::2], interior=[]))
            for label, box in found
        ]
        content = dict(description='', size=dict(height=HEIGHT, width=WIDTH), objects=objects)
        write(folder / split / 'ann' / f'{name}.json', content)


LAYOUTS = {
    'coco': write_coco,
    'roboflow': write_roboflow,
    'voc': write_voc,
    'yolo': write_yolo,
    'labelme': write_labelme,
    'via': write_via,
    'cvat': write_cvat,
    'label_studio': write_label_studio,
    'supervisely': write_supervisely,
}


def write_layouts(folder: Path) -> None:
    """Write all of them into folders of their names."""
    for name, write_split in LAYOUTS.items():
        for split, parts in make_parts().items():
            write_split(folder / name, split, parts)
