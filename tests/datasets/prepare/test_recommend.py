"""The recommended base fits the machine, and its size the objects."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config

from mmspartan import config_path
from mmspartan.datasets.prepare import recommend as module
from mmspartan.datasets.prepare.recommend import CPU_BASE, recommend, smallest_size
from mmspartan.datasets.prepare.source import Object, Sample


def sample(width: int, height: int, *sides: float) -> Sample:
    """An image with square objects of these sides."""
    objects = [Object('a', (0.0, 0.0, side, side)) for side in sides]
    return Sample(Path('a.jpg'), objects, (width, height))


@pytest.fixture
def machine(monkeypatch):
    def has(device: str, gigabytes: float = 0) -> None:
        monkeypatch.setattr(module, 'get_device', lambda: device)
        monkeypatch.setattr(torch.cuda, 'get_device_name', lambda: 'Card')
        properties = SimpleNamespace(total_memory=gigabytes * 1e9)
        monkeypatch.setattr(torch.cuda, 'get_device_properties', lambda index: properties)

    return has


def test_a_machine_without_a_gpu_gets_a_small_detector(machine):
    machine('cpu')
    found = recommend([sample(640, 480, 40, 50, 300)] * 3)
    assert found.base == CPU_BASE and found.batch_size == 4
    assert found.image_size == (160, 128)
    assert 'no GPU' in found.reason and '3 training images of 640 x 480' in found.reason
    assert recommend([sample(640, 480, 40)], (64, 96)).image_size == (64, 96)
    assert max(Config.fromfile(config_path(found.base)).test_pipeline[2].scale) == 128


@pytest.mark.parametrize(
    ('gigabytes', 'base', 'batch_size'), [(8.4, 'rtdetr_spartan_t_coco', None), (6, 'dfine_spartan_xt_n_coco', 4)]
)
def test_a_gpu_gets_what_its_memory_holds(gigabytes, base, batch_size, machine):
    machine('cuda', gigabytes)
    found = recommend([sample(640, 480, 40)])
    assert (found.base, found.image_size, found.batch_size) == (base, None, batch_size)
    assert found.reason.startswith('Card has') and 'at 640 x 640' in found.reason
    assert Config.fromfile(config_path(base)).model.bbox_head.num_classes == 80


@pytest.mark.parametrize(
    ('images', 'size'),
    [
        ([sample(480, 480, *[31] * 9, 20)], (128, 128)),  # a tenth is tiny
        ([sample(480, 480, *[31] * 9, 20, 20)], (192, 192)),  # 8 of 192 are 20 of 480
        ([sample(4800, 4800, 31)], (320, 320)),  # tiny at all sizes
        ([sample(20000, 10, 9)], (640, 320)),
        ([sample(10, 20000, 9)], (160, 320)),
        ([sample(480, 480, 40), sample(960, 480, 40), sample(960, 480, 40)], (256, 128)),
    ],
)
def test_size_is_the_smallest_at_which_few_objects_are_tiny(images, size):
    assert smallest_size(images) == size
