"""What a tool made of its input, in a form in which two runs can be compared."""

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILE = 'result.json'


def write_result(folder: Path) -> None:
    """Collect what a tool wrote below its working directory into ``result.json``.

    That is the metrics, the weights (as a checksum of all of them), the classes that are noted beside them, and the
    detections.
    """
    result: dict[str, Any] = {}
    if (folder / 'metrics.json').exists():
        result['metrics'] = json.loads((folder / 'metrics.json').read_text())
    for path in sorted([*folder.glob('work/epoch_*.pth'), *folder.glob('written*.pth')]):
        result[path.name.split('-')[0]] = _summary(path)
    for path in sorted(folder.glob('work/*/vis_data/scalars.json')):
        lines = map(json.loads, path.read_text().splitlines())
        result['validation'] = [{k: v for k, v in line.items() if k.startswith('coco/')} for line in lines]
    found = {path.name: json.loads(path.read_text()) for path in sorted(folder.glob('outputs/preds/**/*.json'))}
    if 'tree' in sys.argv:  # images that may have other names
        result['tree'] = sorted(found.values(), key=str)
    else:  # of a video the number of frames, since those of a damaged one differ
        result |= {name: len(value) if isinstance(value, list) else value for name, value in found.items()}
    if (folder / 'report' / 'metrics.json').exists():
        result['report'] = json.loads((folder / 'report' / 'metrics.json').read_text())
    for path in sorted(folder.glob('mine/*.json')):
        result[path.name] = _objects(path, folder)
    (folder / FILE).write_text(json.dumps(result))


def read_result(folder: Path) -> dict[str, Any] | None:
    path = folder / FILE
    return json.loads(path.read_text()) if path.exists() else None


def _objects(path: Path, folder: Path) -> list:
    """Images of a COCO file with size and objects, in an order that does not depend on their names."""
    content = json.loads(path.read_text())
    names = {category['id']: category['name'] for category in content['categories']}
    root = folder / next(value for value in sys.argv if value.startswith('layouts/'))
    images: dict[int, list] = {}
    for image in content['images']:
        digest = hashlib.sha1((root / image['file_name']).read_bytes()).hexdigest()
        images[image['id']] = [digest, image['width'], image['height'], []]
    for one in content['annotations']:
        box = [round(value, 2) for value in one['bbox']]
        images[one['image_id']][-1].append([names[one['category_id']], box, one['iscrowd']])
    return sorted([digest, width, height, sorted(found)] for digest, width, height, found in images.values())


def _summary(path: Path) -> dict[str, Any]:
    import torch

    content = torch.load(path, map_location='cpu', weights_only=True)
    weights = content.get('state_dict', content.get('model', content))
    total = hashlib.sha256()
    for key in sorted(weights):
        value = weights[key].detach().contiguous()
        total.update(f'{key} {value.dtype} {tuple(value.shape)}'.encode())
        total.update(value.view(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b'')
    meta = content.get('meta')
    classes = (meta.get('dataset_meta') or {}).get('classes') if isinstance(meta, Mapping) else None
    return dict(weights=total.hexdigest(), classes=list(classes or ()))
