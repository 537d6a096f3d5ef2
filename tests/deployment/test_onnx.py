import numpy as np
import pytest
import torch
from torch import nn

from mmspartan.deployment.exported import Session
from mmspartan.deployment.onnx import to_onnx


@pytest.mark.parametrize(('groups', 'affine'), [(1, True), (1, False), (4, True)])
@pytest.mark.parametrize('backend', ['onnxruntime', 'openvino'])
def test_group_norm_gives_the_same(backend, groups, affine, tmp_path):
    norm = nn.GroupNorm(groups, 8, eps=1e-3, affine=affine).eval()
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(4, 8, 5, 6) * 0.1 + 3
    to_onnx(norm, [x[:2]], input_names=['images']).save(tmp_path / 'norm.onnx')
    session = Session(tmp_path / 'norm.onnx', backend)
    assert session.batch_size == 2  # four images are two calls
    (found,) = session(images=x.numpy()).values()
    np.testing.assert_allclose(found, norm(x).detach().numpy(), atol=1e-4)
    with pytest.raises(ValueError, match='takes 2 images at once, not 3'):
        session(images=x[:3].numpy())
