"""The package in other people's hands: its wheel, its configs from outside, and inside their projects."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import mmpretrain
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

import mmspartan
from tests.conftest import DATA, ROOT, TINY, python


def test_wheel_holds_every_config_and_tool_in_mim(site):
    tracked = subprocess.run(
        ['git', 'ls-files', 'configs', 'tools'], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert tracked
    for name in tracked:
        assert (site / 'mmspartan' / '.mim' / name).read_bytes() == (ROOT / name).read_bytes()
    assert os.access(site / 'mmspartan' / '.mim' / 'tools' / 'dist_train.sh', os.X_OK)


def test_installation_replaces_nothing_of_a_stack(site):
    """Only the extra for environments without a stack names one of its packages."""
    (metadata,) = site.glob('mmspartan-*.dist-info/METADATA')
    named = re.findall(r'^Requires-Dist: (?:torch|mm|onedl|setuptools).*', metadata.read_text(), re.MULTILINE)
    assert len(named) == 7 and all(line.replace("'", '"').endswith('extra == "openmmlab"') for line in named), named


def test_config_of_the_wheel_is_found_from_python_outside_the_repository(site, tmp_path):
    code = (
        'import mmspartan; from mmengine.config import Config; path = mmspartan.config_path("spartan_t_in1k");'
        'print(path, Config.fromfile(path).model.backbone.arch)'
    )
    result = python('-c', code, cwd=tmp_path, site=site)
    assert result.stdout.splitlines()[-1].split() == [f'{site}/mmspartan/.mim/configs/spartan_t_in1k.py', 't'], (
        result.stderr
    )


def test_mmpretrains_own_script_trains_a_config_that_inherits_from_the_wheel(site, tmp_path):
    shutil.copy(DATA / 'digits_quick.py', tmp_path / 'mine.py')
    script = Path(mmpretrain.__path__[0]) / '.mim' / 'tools' / 'train.py'
    result = python(str(script), 'mine.py', cwd=tmp_path, site=site)
    assert result.returncode == 0, result.stderr[-2000:]
    assert 'Epoch(val) [1]' in result.stdout + result.stderr
    assert (tmp_path / 'work_dirs' / 'mine' / 'epoch_1.pth').exists()


def test_unknown_config_lists_the_known():
    with pytest.raises(FileNotFoundError, match=r"no config 'spartan_s'; it has .*spartan_t_in1k, .*spartan_xt_digits"):
        mmspartan.config_path('spartan_s')


def test_backbone_needs_neither_mmdet_nor_mmpretrain(tmp_path):
    code = (
        'import sys; sys.modules.update(mmdet=None, mmpretrain=None, sklearn=None)\n'
        'import mmspartan; from mmengine.registry import MODELS; MODELS.build(dict(type="SpaRTAN", arch="xt"))\n'
        'print("RTDETR" in MODELS)'
    )
    result = python('-c', code, cwd=tmp_path, site=ROOT)
    assert result.stdout.strip() == 'False', result.stderr


def test_backbone_of_an_mmdetection_model():
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    cfg = Config.fromfile(Path(__import__('mmdet').__path__[0], '.mim/configs/_base_/models/retinanet_r50_fpn.py'))
    cfg.model.backbone = dict(type='SpaRTAN', arch=TINY, out_indices=(0, 1, 2, 3))
    cfg.model.neck.in_channels = list(TINY['channels'])
    with DefaultScope.overwrite_default_scope('mmdet'):
        import mmdet.models  # noqa: F401

        model = MODELS.build(cfg.model)
        size = (128, 160)
        sample = DetDataSample(metainfo=dict(img_shape=size, pad_shape=size, ori_shape=size, scale_factor=(1.0, 1.0)))
        boxes = torch.tensor([[10.0, 10.0, 60.0, 80.0]])
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.tensor([3]))
        losses = model.loss(torch.randn(1, 3, *size), [sample])
    sum(sum(value) for value in losses.values()).backward()
    assert all(parameter.grad is not None for parameter in model.backbone.parameters())
