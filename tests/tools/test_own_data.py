"""Own data from end to end: convert, fine-tune a converted detector for other classes, evaluate, draw, publish."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import torch

from tests.conftest import ROOT, TINY, Golden, last_line
from tests.docs.scripts import run_here

CONFIG = f"""
_base_ = __import__('mmspartan').config_path('rtdetr_spartan_xt_digits')
load_from = 'converted.pth'
model = dict(
    num_queries=30,
    backbone=dict(arch=dict(_delete_=True, **{TINY})),
    neck=dict(in_channels={TINY['channels'][1:]}, hidden_channels=64, feedforward_channels=128),
    decoder=dict(
        num_layers=2,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=64),
            cross_attn_cfg=dict(embed_dims=64),
            ffn_cfg=dict(embed_dims=64, feedforward_channels=128),
        ),
    ),
    bbox_head=dict(num_classes=3, embed_dims=64),
    test_cfg=dict(max_per_img=30),
)
_meta = dict(classes=CLASSES)
_loader = dict(batch_size=4, num_workers=0, persistent_workers=False)
_train = dict(data_root='', metainfo=_meta, ann_file='TRAIN', data_prefix=dict(img='IMAGES'))
_val = dict(data_root='', metainfo=_meta, ann_file='VAL', data_prefix=dict(img='IMAGES'))
train_dataloader = dict(dataset=_train, **_loader)
val_dataloader = dict(dataset=_val, **_loader)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file='VAL')
test_evaluator = val_evaluator
optim_wrapper = dict(optimizer=dict(lr=0.0))  # what was loaded can be compared with what is saved
param_scheduler = [dict(type='ConstantLR', factor=1.0)]
train_cfg = dict(max_epochs=1, val_interval=1)
"""


def scenes(classes: tuple[str, ...]) -> list[tuple[np.ndarray, list[tuple[int, list[int]]]]]:
    """Pictures of coloured rectangles, a colour a class, with (class, (x1, y1, x2, y2)) of each."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(8):
        picture, objects = np.full((96, 128, 3), 200, np.uint8), []
        for label in rng.integers(0, len(classes), 2):
            x, y = rng.integers(0, 80), rng.integers(0, 60)
            w, h = rng.integers(15, 40), rng.integers(15, 30)
            picture[y : y + h, x : x + w] = np.eye(3)[label] * 255
            objects.append((int(label), [int(x), int(y), int(x + w), int(y + h)]))
        made.append((picture, objects))
    return made


def write_coco(folder: Path) -> dict[str, str]:
    classes = ('bolt', 'nut', 'washer')
    (folder / 'mine' / 'images').mkdir(parents=True)
    for split, start in (('train', 0), ('val', 4)):
        coco = dict(images=[], annotations=[], categories=[dict(id=i + 1, name=name) for i, name in enumerate(classes)])
        for i, (picture, objects) in enumerate(scenes(classes)[start : start + 4], start):
            cv2.imwrite(str(folder / 'mine' / 'images' / f'{i}.png'), picture)
            coco['images'].append(dict(id=i, file_name=f'{i}.png', width=128, height=96))
            for label, (x1, y1, x2, y2) in objects:
                box, number = [x1, y1, x2 - x1, y2 - y1], len(coco['annotations']) + 1
                annotation = dict(
                    id=number, image_id=i, category_id=label + 1, bbox=box, area=box[2] * box[3], iscrowd=0
                )
                coco['annotations'].append(annotation)
        (folder / 'mine' / f'{split}.json').write_text(json.dumps(coco))
    return dict(CLASSES=repr(classes), TRAIN='mine/train.json', VAL='mine/val.json', IMAGES='mine/images')


def test_fine_tuning_a_converted_detector(tmp_path):
    config = CONFIG
    for name, value in write_coco(tmp_path).items():
        config = config.replace(name, value)
    (tmp_path / 'mine.py').write_text(config)
    torch.save(dict(model=Golden('rtdetr_tiny.npz').group('sd')), tmp_path / 'source.pth')
    run_here(ROOT / 'tools' / 'model_converters' / 'rtdetr_to_mmdet.py', 'source.pth', 'converted.pth', cwd=tmp_path)

    told = last_line('train.py', 'mine.py', '--cfg-options', 'load_from=source.pth', cwd=tmp_path)
    assert told == "source.pth: load_from has no weight of the model; others' files: tools/model_converters/"
    log = run_here(ROOT / 'tools' / 'train.py', 'mine.py', '--cfg-options', 'randomness.seed=1', cwd=tmp_path)
    assert 'of 10 classes, this one has 3: class branches and label embedding start anew' in log
    checkpoint = tmp_path / 'work_dirs' / 'mine' / 'epoch_1.pth'
    before = torch.load(tmp_path / 'converted.pth', weights_only=True)['state_dict']
    trained = torch.load(checkpoint, weights_only=True)
    after = trained['state_dict']
    anew = {key for key in before if before[key].shape != after[key].shape}
    assert anew == {key for key in before if 'cls_branches' in key or 'label_embedding' in key}
    statistics = ('running_mean', 'running_var', 'num_batches_tracked')
    kept = [key for key in before if key not in anew and not key.endswith(statistics)]
    assert len(kept) > 300 and all(torch.allclose(after[key].double(), before[key].double()) for key in kept)

    log = run_here(ROOT / 'tools' / 'test.py', 'mine.py', checkpoint, '--show-dir', 'drawn', cwd=tmp_path)
    assert re.search(r'bbox_mAP_copypaste: 0\.\d+', log)
    assert len(list(tmp_path.glob('drawn/*'))) == 4
    publish = ROOT / 'tools' / 'misc' / 'publish_model.py'
    for toolbox in ('mmdet', 'mmpretrain'):
        run_here(publish, checkpoint, f'{toolbox}.pth', '--toolbox', toolbox, cwd=tmp_path)
        (published,) = tmp_path.glob(f'{toolbox}*-????????.pth')
        weights = torch.load(published, weights_only=True)
        assert set(weights) == {'meta', 'state_dict'}
        assert weights['meta']['dataset_meta']['classes'] == trained['meta']['dataset_meta']['classes']
        assert all(torch.equal(value, after[key]) for key, value in weights['state_dict'].items())
