from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from mmdet.structures import DetDataSample
from mmpretrain.structures import DataSample
from torch import nn

from mmspartan.deploy.exported_model import ExportedModel
from mmspartan.deploy.onnx import to_onnx
from mmspartan.deploy.session import Session
from mmspartan_cli.choices import BACKENDS

SCRIPT = """
import gc, os, signal, sys
import numpy as np
from mmspartan.deploy.session import Session

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


@pytest.fixture(scope='module')
def classifier(tmp_path_factory) -> Path:
    """An ONNX file of one image of 8x8 to four scores."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 8), nn.GELU(), nn.GroupNorm(1, 4), nn.Flatten(), nn.Linear(4, 4)).eval()
    names = dict(input_names=['images'], output_names=['scores'])
    path = tmp_path_factory.mktemp('classifier') / 'small.onnx'
    to_onnx(model, [torch.zeros(1, 3, 8, 8)], **names).save(path)
    return path


@pytest.mark.parametrize('backend', BACKENDS)
def test_inputs_that_do_not_fit_are_named(backend, classifier):
    session = Session(classifier, backend)
    assert session(images=np.zeros((2, 3, 8, 8), dtype=np.float32))['scores'].shape == (2, 4)
    each = r"small\.onnx: its input 'images' is of 3x8x8 each, got"
    for name, shape, message in [
        ('images', (1, 3, 9, 8), f'{each} 3x9x8$'),
        ('images', (3, 8, 8), f'{each} 8x8$'),
        ('images', (1, 3, 8, 8, 1), f'{each} 3x8x8x1$'),
        ('images', (1,), f'{each} $'),
        ('images', (0, 3, 8, 8), 'takes 1 images at once, not 0'),
        ('sizes', (1, 2), r"small\.onnx: has no input 'sizes', but images"),
    ]:
        with pytest.raises(ValueError, match=message):
            session(**{name: np.zeros(shape, dtype=np.float32)})
    with pytest.raises(ValueError, match=f'{each} none'):
        session()
    with pytest.raises(ValueError, match='streams must be at least 1'):
        Session(classifier, backend, streams=0)
    for threads in (-1, 10**20):
        with pytest.raises(ValueError, match='threads'):
            Session(classifier, backend, threads)


@pytest.mark.parametrize('backend', BACKENDS)
def test_inputs_are_converted_where_that_is_exact(backend, classifier):
    session = Session(classifier, backend)
    images = np.random.default_rng(0).integers(0, 256, (1, 3, 8, 8))
    expected = session(images=images.astype(np.float32))['scores']
    for dtype in (np.uint8, np.int64, np.float64, np.float16):
        np.testing.assert_array_equal(session(images=images.astype(dtype))['scores'], expected)
    for value in (images + 0.1, images + 2**40 + 1, images.astype(complex), images.astype(str)):
        message = rf"small\.onnx: its input 'images' is of float32, which does not hold the given {value.dtype} exactly"
        with pytest.raises(ValueError, match=message):
            session(images=value)


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(value, backend, classifier, tmp_path):
    images = np.zeros((1, 3, 8, 8), dtype=np.float32)
    model = onnx.load(classifier)
    bias = next(tensor for tensor in model.graph.initializer if tensor.name.endswith('bias') and tensor.dims == [4])
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(4, value, dtype=np.float32), bias.name))
    onnx.save(model, tmp_path / 'bad.onnx')
    # NaN is refused when the file is read; infinity may be meant, as in a mask, and is so where it comes out
    found = rf"output 'scores' is not finite in {backend}" if np.isinf(value) else f"weight '{bias.name}' is not finite"
    with pytest.raises(ValueError, match=rf'bad\.onnx: its {found}'):
        Session(tmp_path / 'bad.onnx', backend)(images=images)
    images[0, 0, 0, 0] = value
    with pytest.raises(ValueError, match=rf"small\.onnx: its output 'scores' is not finite in {backend}"):
        Session(classifier, backend)(images=images)


def test_file_of_the_other_task_is_refused(classifier):
    model = ExportedModel(str(classifier))
    assert model([torch.zeros(3, 8, 8)], [DataSample()])[0].pred_score.shape == (4,)
    with pytest.raises(ValueError, match=r'small\.onnx: is a classifier, the config is of a detector'):
        model([torch.zeros(3, 8, 8)], [DetDataSample()])


def test_signals_are_taken_after_sessions_of_openvino(classifier, run_tool, tmp_path):
    # as that of a data loader's worker that ends, after an evaluation
    (tmp_path / 'script.py').write_text(SCRIPT)
    result = run_tool(tmp_path / 'script.py', classifier)
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.split('\n')[-3:] == ['taken', 'goes on', '']
