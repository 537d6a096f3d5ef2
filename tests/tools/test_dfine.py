"""The tools for detectors with D-FINE, one after another."""

import json
import re

import onnx
import pytest
import torch

from mmspartan.deploy.quantization import count_products
from tests.conftest import ROOT
from tests.docs.scripts import run_here
from tests.tools.conftest import evaluate, make_detector

TOOLS = ROOT / 'tools'


@pytest.mark.usefixtures('one_thread')
def test_report_export_images_int8_and_folding(tmp_path):
    def tool(script: str, *arguments: object) -> str:
        return run_here(TOOLS / script, *arguments, cwd=tmp_path)

    make_detector(tmp_path, 'dfine_quick.py')
    report = evaluate(tmp_path, 'mine.pth', '--out', 'report', '--worst', 0)
    assert 0.1 < report['total']['AP'] < 0.9

    printed = tool('export_onnx.py', 'mine.py', 'mine.pth', '--out', 'mine.onnx', '--dynamic-batch', '--verify')
    assert float(re.search(r'median of \d images (\S+),', printed)[1]) < 1e-3
    exported = evaluate(tmp_path, 'mine.onnx', '--compare', 'report', '--out', 'exported', '--worst', 0)
    assert exported['total']['AP'] == pytest.approx(report['total']['AP'], abs=1e-3)

    drawn = []
    for model in ('mine.pth', 'mine.onnx'):
        demo = ('digits/val/00000.png', 'mine.py', model, '--out-dir', f'drawn_{model}', '--device', 'cpu')
        tool('image_demo.py', *demo)
        drawn.append(json.loads((tmp_path / f'drawn_{model}' / 'preds' / '00000.json').read_text())['scores'])
    assert drawn[1] == pytest.approx(drawn[0], abs=1e-3)

    printed = tool('quantize_onnx.py', 'mine.py', 'mine.onnx', '--out', 'small.onnx', '--images', 4)
    integer, products = count_products(onnx.load(tmp_path / 'small.onnx').graph)
    assert f'{integer} of {products} convolutions and linear layers in INT8' in printed and integer > 0.7 * products

    printed = tool('model_converters/reparameterize_model.py', 'mine.py', 'mine.pth', 'folded.pth')
    option = re.search(r'--cfg-options (\S+)', printed)[1]
    folded = evaluate(tmp_path, 'folded.pth', '--out', 'folded', '--worst', 0, '--cfg-options', option)
    assert folded['total']['AP'] == pytest.approx(report['total']['AP'], abs=1e-3)
    names = torch.load(tmp_path / 'folded.pth', weights_only=True)['state_dict']
    assert not any(name.startswith('backbone') and 'running' in name for name in names)
