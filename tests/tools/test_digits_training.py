"""A training on real digits that takes minutes: the accuracy that it reaches."""

import re
import time
from pathlib import Path

import pytest
import torch

from mmspartan import config_path
from mmspartan.deploy.files import read_onnx
from mmspartan.deploy.precision import precision_of
from mmspartan.stack import release
from tests.conftest import ROOT
from tests.docs.scripts import run_here
from tests.tools.test_digits import accuracy

DIGITS = config_path('spartan_xt_digits')
TOOLS = ROOT / 'tools'


@pytest.mark.training
def test_digits_reach_98_percent_and_the_checkpoint_gives_the_same(run_tool, tmp_path):
    start = time.monotonic()
    trained = run_tool('train.py', DIGITS, '--cfg-options', 'max_epochs=4', 'train_cfg.val_interval=4')  # of 8
    print(f'trained in {time.monotonic() - start:.0f} s')
    assert trained.returncode == 0, trained.stderr[-2000:]
    measured = accuracy(trained.stdout + trained.stderr, 'val')
    assert measured >= 98
    checkpoint = (tmp_path / 'work_dirs' / 'spartan_xt_digits' / 'last_checkpoint').read_text()
    tested = run_tool('test.py', DIGITS, checkpoint)
    assert accuracy(tested.stdout + tested.stderr, 'test') == measured
    if release(torch.__version__) >= (2, 6):  # which the export needs
        check_lower_precisions(checkpoint, measured, tmp_path)


def check_lower_precisions(checkpoint: str, measured: float, folder: Path) -> None:
    """BF16 and INT8 cost less than two of the 359 test images."""
    options = ['--out', 'bf16.onnx', '--precision', 'bf16', '--verify']
    run_here(TOOLS / 'export_onnx.py', DIGITS, checkpoint, *options, cwd=folder)
    options = ['--out', 'int8.onnx', '--images', 32, '--reduce-range']  # for processors without VNNI
    printed = run_here(TOOLS / 'quantize_onnx.py', DIGITS, 'bf16.onnx', *options, cwd=folder)
    found = re.findall(r'^(?:bf16|int8)\.onnx .* ([\d.]+)$', printed, re.MULTILINE)
    assert len(found) == 2 and min(map(float, found)) >= measured - 0.5
    assert precision_of(read_onnx(folder / 'int8.onnx')).name == 'bf16'  # for what is not INT8
