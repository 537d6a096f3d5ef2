"""Tools and Runner read weights-only whatever mmengine asks of torch, and files of a stock mmengine nevertheless."""

import os

import pytest
import torch

from mmspartan.checkpoints.pretrained import pretrained_settings
from mmspartan.commands.launch import build_runner
from tests.checkpoints.test_checkpoint import Call, stock_content
from tests.conftest import DATA
from tests.runs.conftest import digits_config


@pytest.mark.parametrize('tool', ['test.py', 'train.py'])
def test_tools_run_nothing_from_a_checkpoint_with_mmengines_runner(tool, run_tool, tmp_path):
    marker = tmp_path / 'ran'
    torch.save(dict(state_dict={}, payload=Call(os.system, f'touch {marker}')), tmp_path / 'evil.pth')
    given = ['evil.pth'] if tool == 'test.py' else ['--resume', 'evil.pth']
    result = run_tool(tool, DATA / 'digits_quick.py', *given, '--cfg-options', 'runner_type=Runner')
    assert result.returncode != 0 and not marker.exists(), result.stderr


def test_pretrained_weights_of_a_stock_mmengine_are_read(tmp_path):
    source = build_runner(digits_config(tmp_path / 'source')).model.backbone
    torch.save({**stock_content(), 'state_dict': source.state_dict(prefix='backbone.')}, tmp_path / 'stock.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'stock.pth'), prefix='backbone')
    runner = build_runner(digits_config(tmp_path / 'run', **{'model.backbone.init_cfg': init_cfg}))
    runner._init_model_weights()
    backbone = runner.model.backbone
    assert all(torch.equal(found, source.state_dict()[name]) for name, found in backbone.state_dict().items())
    assert [cfg['checkpoint'] for cfg in pretrained_settings(backbone)] == [str(tmp_path / 'stock.pth')]
