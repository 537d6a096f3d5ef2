"""CIFAR-10 from the published pickles and from folders."""

import json
import pickle

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmpretrain.datasets import CIFAR10
from mmpretrain.registry import DATASETS

from mmspartan import config_path, get_model
from mmspartan.checkpoints.class_names import check_num_classes
from mmspartan.datasets import cifar10
from mmspartan.errors import InputError
from tests.conftest import ROOT, run_here

SCENES = 'dataset_converters/cifar10_to_coco.py'
SPLITS = dict(train=20, test=160)
RED = np.zeros((32, 32, 3), np.uint8)
RED[..., 2] = 255  # BGR


def build(root, split='test'):
    return DATASETS.build(
        dict(type='mmpretrain.BGRCIFAR10', data_root=str(root), split=split, download=False, pipeline=[])
    )


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar10, 'IMAGES', {'test': 10})
    for name in CIFAR10.METAINFO['classes']:
        (tmp_path / 'test' / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / 'test' / name / '0000.png'), RED)
    return tmp_path


def test_pickles_become_bgr(tmp_path, monkeypatch):
    monkeypatch.setattr(CIFAR10, '_check_integrity', lambda self: True)
    (tmp_path / 'cifar-10-batches-py').mkdir()
    rgb = RED[..., ::-1].transpose(2, 0, 1).reshape(1, -1)
    (tmp_path / 'cifar-10-batches-py' / 'test_batch').write_bytes(pickle.dumps(dict(data=rgb, labels=[3])))
    (item,) = build(tmp_path)
    assert item['gt_label'] == 3 and (item['img'] == RED).all()


def test_folders_have_the_order_of_the_classes(folders):
    items = list(build(folders))
    assert [item['gt_label'] for item in items] == list(range(10))
    assert all((item['img'] == RED).all() for item in items)


def test_faults_of_folders_are_named(folders):
    path = folders / 'test' / 'cat' / '0000.png'
    path.unlink()
    with pytest.raises(InputError, match='has 9 images'):
        build(folders)
    path.write_bytes(b'no image')
    with pytest.raises(InputError, match=r'cat/0000\.png'):
        build(folders)
    cv2.imwrite(str(path), RED[:16])
    with pytest.raises(InputError, match=r'cat/0000\.png'):
        build(folders)


def test_scenes_have_photographs_of_their_split_in_boxes_of_their_class(tmp_path, monkeypatch):
    """A photograph here is of one color: dark for training, bright for testing, and another for each class."""
    monkeypatch.setattr(cifar10, 'IMAGES', {'train': 10, 'test': 10})
    colors = {split: [np.array([start + 9 * i, start, start]) for i in range(10)] for split, start in SPLITS.items()}
    for split, of_class in colors.items():
        for color, name in zip(of_class, CIFAR10.METAINFO['classes'], strict=True):
            (tmp_path / 'photographs' / split / name).mkdir(parents=True)
            photograph = np.broadcast_to(color, RED.shape).astype(np.uint8)
            cv2.imwrite(str(tmp_path / 'photographs' / split / name / '0000.png'), photograph)
    options = ['--photographs', 'photographs', '--train', 9, '--val', 4, '--size', 96]
    for out in ('one', 'other'):
        run_here(ROOT / 'tools' / SCENES, '--out', out, *options, cwd=tmp_path)
    for split, source in dict(train='train', val='test').items():
        coco = json.loads((tmp_path / 'one' / f'{split}.json').read_text())
        assert (tmp_path / 'other' / f'{split}.json').read_text() == json.dumps(coco)
        assert [category['name'] for category in coco['categories']] == list(CIFAR10.METAINFO['classes'])
        images = {
            image['id']: cv2.imread(str(tmp_path / 'one' / split / image['file_name'])) for image in coco['images']
        }
        assert len(images) == dict(train=9, val=4)[split] and len(coco['annotations']) > len(images)
        for annotation in coco['annotations']:
            x, y, width, height = annotation['bbox']
            patch = images[annotation['image_id']][y : y + height, x : x + width]
            assert patch.shape[:2] == (height, width) and min(width, height) > 5
            distance = np.abs(patch - colors[source][annotation['category_id'] - 1]).max(-1)
            assert (distance < 3).mean() > 0.15


@pytest.mark.parametrize('name', ['spartan_xt_cifar10', 'spartan_t_cifar10'])
def test_configs_train_first_on_small_and_then_on_enlarged_images(name, folders, monkeypatch):
    monkeypatch.setattr(cifar10, 'IMAGES', {'train': 10})
    (folders / 'test').rename(folders / 'train')
    cfg = Config.fromfile(config_path(name))
    cfg.train_dataloader.update(batch_size=4, num_workers=0, persistent_workers=False)
    cfg.train_dataloader.dataset.data_root = str(folders)
    model = get_model(name)  # which enters mmpretrain's scope
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
    check_num_classes(model, loader.dataset)  # as a training does
    (switch,) = map(HOOKS.build, cfg.custom_hooks)
    for size, pipeline in (32, loader.dataset.pipeline), (64, switch.schedule[10]['train_pipeline']):
        loader.dataset.pipeline = pipeline
        data = model.data_preprocessor(next(iter(loader)), training=True)
        assert data['inputs'].shape == (4, 3, size, size)
        # red, as RGB, and black where it is padded
        assert data['inputs'][:, 0].max() > 2 > 0 > data['inputs'][:, 1:].max()
    assert model.train()(**data, mode='loss')['loss'].isfinite()
    assert len(model.eval()(**data, mode='predict')[0].pred_score) == 10
