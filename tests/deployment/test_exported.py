import subprocess
import sys

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmpretrain.structures import DataSample
from torch import nn

from mmspartan.deployment.exported import BACKENDS, ExportedModel, Session
from mmspartan.deployment.onnx import to_onnx

SCRIPT = """
import gc, os, signal, sys
import numpy as np
from mmspartan.deployment.exported import Session

first, second = (Session(sys.argv[1], 'openvino') for _ in range(2))
first(images=np.zeros((1, 3, 8, 8), dtype=np.float32))
del first
gc.collect()
del second
gc.collect()
signal.signal(signal.SIGCHLD, lambda number, frame: print('taken'))
os.kill(os.getpid(), signal.SIGCHLD)
print('goes on')
"""


@pytest.fixture
def classifier(tmp_path):
    """An ONNX file of one image of 8x8 to four scores."""
    model = nn.Sequential(nn.Conv2d(3, 4, 8), nn.Flatten()).eval()
    names = dict(input_names=['images'], output_names=['scores'])
    to_onnx(model, [torch.zeros(1, 3, 8, 8)], **names).save(tmp_path / 'small.onnx')
    return tmp_path / 'small.onnx'


@pytest.mark.parametrize('backend', BACKENDS)
def test_inputs_that_do_not_fit_are_named(backend, classifier):
    session = Session(classifier, backend)
    assert session(images=np.zeros((2, 3, 8, 8), dtype=np.float32))['scores'].shape == (2, 4)
    with pytest.raises(ValueError, match=r"small\.onnx: its input 'images' is of 3x8x8 each, got 3x9x8"):
        session(images=np.zeros((1, 3, 9, 8), dtype=np.float32))
    with pytest.raises(ValueError, match=r"its input 'images' is of 3x8x8 each, got none"):
        session(sizes=np.zeros((1, 2), dtype=np.float32))
    with pytest.raises(ValueError, match='streams must be at least 1'):
        Session(classifier, backend, streams=0)


def test_file_of_the_other_task_is_refused(classifier):
    model = ExportedModel(str(classifier))
    assert model([torch.zeros(3, 8, 8)], [DataSample()])[0].pred_score.shape == (4,)
    with pytest.raises(ValueError, match=r'small\.onnx: is a classifier, the config is of a detector'):
        model([torch.zeros(3, 8, 8)], [DetDataSample()])


def test_signals_are_taken_after_sessions_of_openvino(tmp_path):
    # as that of a data loader's worker that ends, after an evaluation
    to_onnx(nn.Conv2d(3, 4, 3).eval(), [torch.zeros(1, 3, 8, 8)], input_names=['images']).save(tmp_path / 'conv.onnx')
    command = [sys.executable, '-c', SCRIPT, tmp_path / 'conv.onnx']
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.split('\n') == ['taken', 'goes on', '']
