import numpy as np
import pytest
import torch
from mmcv.cnn import ConvWS2d
from torch import nn
from torch.testing import assert_close

from mmspartan.benchmark.costs import multiply_adds
from mmspartan.deploy.onnx import to_onnx
from mmspartan.deploy.session import Session
from mmspartan.deploy.winograd import WinogradConv2d, use_winograd


@pytest.mark.parametrize(('size', 'share'), [((16, 16), 0.54), ((32, 9), 0.54), ((18, 18), 1), ((4, 8), 1)])
@pytest.mark.parametrize('bias', [True, False])
@torch.no_grad()
def test_gives_the_same_in_half_the_multiplications(bias, size, share):
    torch.manual_seed(0)
    conv = nn.Conv2d(128, 96, 3, padding=1, bias=bias).double()
    x = torch.randn(2, 128, *size, dtype=torch.float64)
    assert_close(WinogradConv2d(conv)(x), conv(x), rtol=0, atol=1e-12)
    assert multiply_adds(WinogradConv2d(conv), x) <= share * multiply_adds(conv, x)


def test_only_convolutions_that_gain_are_replaced():
    geometries = [dict(padding=2, dilation=2), dict(padding=1, stride=2), dict(padding=0), dict(padding=1, groups=2)]
    geometries.append(dict(padding=1, padding_mode='reflect'))
    direct = [nn.Conv2d(128, 128, 3, **geometry) for geometry in geometries]
    direct += [ConvWS2d(128, 128, 3, padding=1), nn.Conv2d(64, 128, 3, padding=1)]
    direct += [nn.Conv2d(128, 128, 1), nn.Conv2d(128, 128, (3, 1), padding=1)]
    model = nn.Sequential(*direct, nn.Sequential(nn.Conv2d(128, 128, 3, padding=1)))
    assert use_winograd(model) == 1
    assert list(model)[:-1] == direct and isinstance(model[-1][0], WinogradConv2d)
    assert use_winograd(model) == 0


@pytest.mark.parametrize('backend', ['onnxruntime', 'openvino'])
def test_exported_gives_the_same_and_keeps_the_kernels_as_they_are(backend, tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(96, 96, 3, padding=1), nn.SiLU(), nn.Conv2d(96, 96, 3, padding=1)).eval()
    x = torch.randn(2, 96, 16, 20)
    expected = model(x).detach().numpy()
    sizes = []
    for _ in range(2):
        to_onnx(model, [x], input_names=['images']).save(tmp_path / 'model.onnx')
        sizes.append((tmp_path / 'model.onnx').stat().st_size)
        (found,) = Session(tmp_path / 'model.onnx', backend)(images=x.numpy()).values()
        np.testing.assert_allclose(found, expected, atol=1e-5)
        use_winograd(model)
    assert sizes[1] < 1.2 * sizes[0]
