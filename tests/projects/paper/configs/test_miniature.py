"""The small networks have the options of the rows that they stand for, and differ in nothing else."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from mmspartan.analysis.counting import operations
from projects.paper.reproduction.configs import ROOT, config_path
from projects.paper.reproduction.miniature import small, tables
from projects.paper.reproduction.tables import TABLES

SIZE = ('arch', 'drop_path_rate', 'layer_scale_init_value')
ABLATIONS = [row.config for table in TABLES if table.number in (4, 6, 7, 8) for row in table.rows]


def load(name: str) -> dict:
    return Config.fromfile(config_path(name)).to_dict()


@pytest.mark.parametrize('ablation', ABLATIONS)
def test_options_are_those_of_the_ablation(ablation):
    """Whoever changes an option of a row has to change it at both sizes."""
    cfg, expected = load(small(ablation)), load('miniature/spartan_xt')
    row = {key: value for key, value in load(ablation)['model']['backbone'].items() if key not in SIZE}
    size = {key: expected['model']['backbone'][key] for key in SIZE}
    expected['model']['backbone'] = {**row, **size}
    assert cfg == expected


@pytest.mark.parametrize(('folder', 'count'), [('miniature', 17), ('photographs', 6)])
def test_each_row_has_a_network_and_each_network_a_row(folder, count):
    configs = {row.config for table in tables(folder) for row in table.rows}
    files = {f'{folder}/{path.stem}' for path in (ROOT / 'projects' / 'paper' / 'configs' / folder).glob('*.py')}
    assert configs == files and len(files) == count


@pytest.mark.parametrize('row', [row.config for table in tables('photographs') for row in table.rows])
def test_networks_on_photographs_are_those_on_digits(row):
    on_photographs, on_digits = load(row)['model'], load(row.replace('photographs', 'miniature'))['model']
    assert on_photographs.pop('data_preprocessor') != on_digits.pop('data_preprocessor')
    assert on_photographs == on_digits


class Features(nn.Module):
    def __init__(self, backbone: dict):
        super().__init__()
        self.backbone = MODELS.build(backbone)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.backbone(x)


def test_detectors_differ_in_backbones_of_equal_multiply_adds():
    spartan, resnet = load('miniature/rtdetr_spartan_xt'), load('miniature/rtdetr_r18vd')
    init_default_scope('mmdet')
    counts = []
    for cfg in (spartan, resnet):
        features = Features(cfg['model'].pop('backbone')).eval()
        cfg['model']['neck'].pop('in_channels')
        counts.append(operations(features, (128, 128), element_wise=False).total())
    assert spartan == resnet and spartan['train_cfg']['max_epochs'] == spartan['max_epochs'] == 4
    assert counts[1] == pytest.approx(counts[0], rel=0.02)
    assert load('miniature/rtdetr_spartan_xt')['model'] == load('rtdetr_spartan_xt_digits')['model']
