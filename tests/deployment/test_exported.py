import subprocess
import sys

import torch
from torch import nn

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


def test_signals_are_taken_after_sessions_of_openvino(tmp_path):
    # as that of a data loader's worker that ends, after an evaluation
    to_onnx(nn.Conv2d(3, 4, 3).eval(), [torch.zeros(1, 3, 8, 8)], input_names=['images']).save(tmp_path / 'conv.onnx')
    command = [sys.executable, '-c', SCRIPT, tmp_path / 'conv.onnx']
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.split('\n') == ['taken', 'goes on', '']
