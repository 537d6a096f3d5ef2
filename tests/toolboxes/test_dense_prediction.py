"""SpaRTAN in MMSegmentation and MMPose: training, evaluation, folding and export by this project's tools."""

import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmspartan.deploy import deploy
from mmspartan.deploy.load import load_model
from mmspartan.deploy.tasks import build_graph, task_of_model
from mmspartan.spartan.backbone import ARCHS
from tests.conftest import ROOT, TINY, build_model, perturb
from tests.docs.scripts import run_here

CONFIGS = ROOT / 'configs'
ARCH = dict(TINY, depths=(1, 1, 1, 1))


class Toolbox:
    """A config of a toolbox with a small backbone in a folder, and how its metric is printed."""

    def __init__(self, folder: Path, config: str, metric: str, head: str, channels: object):
        self.folder, self.config, self.metric = folder, folder / 'mine.py', metric
        model = f'backbone=dict(arch=dict(_delete_=True, **{ARCH})), {head}=dict(in_channels={channels})'
        self.config.write_text(f"_base_ = '{CONFIGS / config}.py'\nmodel = dict({model})\n")

    def value(self, printed: str) -> float:
        return float(re.findall(rf'\b{self.metric}: ([\d.]+)', printed)[-1])

    def checkpoint(self) -> Path:
        return self.folder / 'work' / 'epoch_1.pth'

    def run(self, script: str, *arguments: object) -> str:
        return run_here(ROOT / 'tools' / script, self.config, *arguments, cwd=self.folder)


@pytest.fixture(
    scope='module',
    params=[
        ('mmseg', 'segformer_spartan_xt_digits', 'mIoU', 'decode_head', ARCH['channels']),
        ('mmpose', 'heatmap_spartan_xt_digits', 'PCK', 'head', ARCH['channels'][-1]),
    ],
    ids=['mmseg', 'mmpose'],
)
def toolbox(request, tmp_path_factory) -> Toolbox:
    """The toolbox with a config that was trained for an epoch on few and small scenes, and what was printed."""
    package, *options = request.param
    pytest.importorskip(package, reason=f'{package} is not installed')
    toolbox = Toolbox(tmp_path_factory.mktemp(package), *options)
    scenes = ['--train', 32, '--val', 8, '--masks', '--keypoints']
    make = ROOT / 'tools' / 'dataset_converters' / 'digits_to_coco.py'
    run_here(make, '--out', 'data/digits_dense', *scenes, cwd=toolbox.folder)
    options = ['max_epochs=1', 'train_cfg.val_interval=1', 'train_dataloader.batch_size=8']
    toolbox.printed = toolbox.run('train.py', '--work-dir', 'work', '--cfg-options', *options)
    return toolbox


def test_trained_and_evaluated(toolbox):
    losses = [float(loss) for loss in re.findall(r'\bloss: ([\d.]+)', toolbox.printed)]
    assert losses and all(0 < loss < 10 for loss in losses)
    printed = toolbox.run('test.py', toolbox.checkpoint(), '--work-dir', 'test')
    assert toolbox.value(printed) == toolbox.value(toolbox.printed) > 0


def test_gradients_reach_all_weights(toolbox):
    saved = torch.load(toolbox.checkpoint(), weights_only=True)
    states = saved['optimizer']['state']
    assert len(states) == sum(len(group['params']) for group in saved['optimizer']['param_groups'])
    assert all(state['exp_avg_sq'].max() > 0 for state in states.values())


def test_folded_gives_the_same(toolbox):
    model = load_model(Config.fromfile(toolbox.config), toolbox.checkpoint()).double()
    perturb(model)
    folded = deploy(model)
    images = torch.rand(2, 3, 64, 64, dtype=torch.float64) * 255
    with torch.no_grad():
        expected, found = (each(images, None, mode='tensor') for each in (model, folded))
    assert not torch.equal(found, expected)  # it was folded
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_exported_file_has_the_metric_of_the_checkpoint(toolbox):
    printed = toolbox.run('export_onnx.py', toolbox.checkpoint(), '--out', 'model.onnx', '--dynamic-batch', '--verify')
    assert float(re.search(r'median of 8 images ([\d.e+-]+)', printed)[1]) < 1e-3
    found = toolbox.value(toolbox.run('deploy_test.py', 'model.onnx'))
    assert found == pytest.approx(toolbox.value(toolbox.printed), abs=0.05)
    if toolbox.metric == 'PCK':
        return  # one that is no detector's is enough
    compared = toolbox.run('quantize_onnx.py', 'model.onnx', '--out', 'int8.onnx', '--images', 4)
    head, exact, rounded = (line.split() for line in compared.splitlines()[-4:-1])
    column = head.index(toolbox.metric) - len(head)
    assert float(exact[column]) == pytest.approx(found, abs=0.05) and float(rounded[column]) >= 0


def test_heads_have_the_widths_of_the_backbone():
    channels = ARCHS['xt']['channels']
    segmenter, estimator = (
        Config.fromfile(CONFIGS / f'{name}_spartan_xt_digits.py').model for name in ('segformer', 'heatmap')
    )
    assert segmenter.backbone.arch == estimator.backbone.arch == 'xt'
    assert tuple(segmenter.decode_head.in_channels) == tuple(channels) and estimator.head.in_channels == channels[-1]


def test_heat_maps_of_other_codecs_are_refused():
    pytest.importorskip('mmpose', reason='mmpose is not installed')
    cfg = Config.fromfile(CONFIGS / 'heatmap_spartan_xt_digits.py')
    cfg.model.head.decoder = dict(cfg.codec, unbiased=True)
    model = build_model(cfg.model, 'mmpose')
    assert task_of_model(model).name == 'pose estimator'
    with pytest.raises(ValueError, match='HeatmapHead with MSRAHeatmap cannot be exported'):
        build_graph(model)
