"""CIFAR-10 from the published pickles and from folders."""

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
from mmspartan.datasets import cifar10
from mmspartan.errors import InputError

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


@pytest.mark.parametrize('name', ['spartan_xt_cifar10', 'spartan_t_cifar10'])
def test_configs_train_first_on_small_and_then_on_enlarged_images(name, folders, monkeypatch):
    monkeypatch.setattr(cifar10, 'IMAGES', {'train': 10})
    (folders / 'test').rename(folders / 'train')
    cfg = Config.fromfile(config_path(name))
    cfg.train_dataloader.update(batch_size=4, num_workers=0, persistent_workers=False)
    cfg.train_dataloader.dataset.data_root = str(folders)
    model = get_model(name)  # which enters mmpretrain's scope
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
    (switch,) = map(HOOKS.build, cfg.custom_hooks)
    for size, pipeline in (32, loader.dataset.pipeline), (64, switch.schedule[10]['train_pipeline']):
        loader.dataset.pipeline = pipeline
        data = model.data_preprocessor(next(iter(loader)), training=True)
        assert data['inputs'].shape == (4, 3, size, size)
        # red, as RGB, and black where it is padded
        assert data['inputs'][:, 0].max() > 2 > 0 > data['inputs'][:, 1:].max()
    assert model.train()(**data, mode='loss')['loss'].isfinite()
    assert len(model.eval()(**data, mode='predict')[0].pred_score) == 10
