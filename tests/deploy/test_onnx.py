import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmspartan.deploy.onnx import to_onnx
from mmspartan.deploy.session import Session
from mmspartan_cli.choices import OPSETS

needs_export = pytest.mark.skipif(not hasattr(torch.export, 'Dim'), reason='export to ONNX needs torch 2.6 or later')


@pytest.mark.parametrize(('groups', 'affine'), [(1, True), (1, False), (4, True)])
def test_group_norm_gives_the_same(groups, affine, tmp_path):
    norm = nn.GroupNorm(groups, 8, eps=1e-3, affine=affine).eval()
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(4, 8, 5, 6) * 0.1 + 3
    to_onnx(norm, [x[:2]], input_names=['images']).save(tmp_path / 'norm.onnx')
    for backend in ('onnxruntime', 'openvino'):
        session = Session(tmp_path / 'norm.onnx', backend)
        assert session.batch_size == 2  # four images are two calls
        (found,) = session(images=x.numpy()).values()
        np.testing.assert_allclose(found, norm(x).detach().numpy(), atol=1e-4)
        with pytest.raises(ValueError, match='takes 2 images at once, not 3'):
            session(images=x[:3].numpy())


class Argmax(nn.Module):
    def forward(self, images):
        return images.argmax(1, keepdim=True), images.argmax(-2), images.argmax(3), images.argmax()[None]


def export_argmax(x: torch.Tensor, **options) -> onnx.ModelProto:
    return to_onnx(Argmax().eval(), [x], input_names=['images'], **options).model_proto


@needs_export
@pytest.mark.parametrize('precision', ['f32', 'f16'])
def test_argmax_gives_the_first_of_the_largest(precision, tmp_path):
    x = torch.randint(3, (2, 300, 5, 6)).float()  # with ties
    dynamic = ({0: torch.export.Dim('batch', max=8), 3: torch.export.Dim('width', max=9)},)
    model = export_argmax(x, precision=precision, dynamic_shapes=dynamic)
    assert sum(node.op_type == 'ArgMax' for node in model.graph.node) == (4 if precision == 'f16' else 1)
    onnx.save(model, tmp_path / 'x.onnx')
    for backend in ('onnxruntime', 'openvino'):
        for array, expected in zip(Session(tmp_path / 'x.onnx', backend)(images=x.numpy()).values(), Argmax()(x)):
            np.testing.assert_array_equal(array, expected.numpy())


def test_argmax_is_an_index_whatever_the_rounding_of_the_maximum(tmp_path):
    x = torch.randn(1, 8, 5, 6)
    model = export_argmax(x)
    for node in list(model.graph.node):
        if node.op_type == 'ReduceMax':  # a runtime that rounds the maximum, but not the input of the comparison
            rounded, node.output[0] = node.output[0], f'{node.output[0]}_exact'
            at = list(model.graph.node).index(node) + 1
            model.graph.node.insert(at, onnx.helper.make_node('Exp', [node.output[0]], [rounded]))
    onnx.save(model, tmp_path / 'x.onnx')
    for array, count in zip(Session(tmp_path / 'x.onnx')(images=x.numpy()).values(), (8, 5, 6, x.numel())):
        assert array.min() >= 0 and array.max() < count


class Changed(nn.Module):
    """Operations whose ONNX form depends on the opset."""

    def __init__(self):
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(6), nn.LayerNorm([5, 6], eps=1e-3), nn.LayerNorm(6, bias=False)])
        for parameter in self.parameters():
            nn.init.normal_(parameter)
        self.group_norm = nn.GroupNorm(2, 8)

    def forward(self, images):
        x = F.gelu(images)
        for norm in (*self.norms, self.group_norm):
            x = x + norm(x)
        first, second = x.chunk(2, dim=1)
        x = first + second + x.mean((2, 3), keepdim=True)[:, :4] + x.amax(1, keepdim=True) + x.mean()
        x = F.interpolate(F.pad(x, (1, 0, 2, 1)), scale_factor=2)
        grid = torch.stack([x[:, 0].sigmoid(), x[:, 1].tanh()], -1)
        return F.grid_sample(x, grid, align_corners=False), x.argmax(1), x.prod(2), x.norm(dim=3)


@needs_export
@pytest.mark.parametrize('opset', OPSETS)
@torch.no_grad()
def test_every_opset_gives_the_same(opset, tmp_path):
    torch.manual_seed(0)
    model, x = Changed().eval(), torch.randn(2, 8, 5, 6)
    dynamic = ({0: torch.export.Dim('batch', max=8)},)
    model_proto = to_onnx(model, [x], opset, input_names=['images'], dynamic_shapes=dynamic).model_proto
    onnx.checker.check_model(model_proto, full_check=True)
    assert [(entry.domain, entry.version) for entry in model_proto.opset_import] == [('', opset)]
    assert model_proto.ir_version == (8 if opset < 19 else 9)  # older runtimes refuse a later one
    assert not any(node.metadata_props for node in model_proto.graph.node)
    onnx.save(model_proto, tmp_path / 'x.onnx')
    for backend in ('onnxruntime', 'openvino'):
        found = Session(tmp_path / 'x.onnx', backend)(images=x.numpy()).values()
        for array, expected in zip(found, model(x), strict=True):
            np.testing.assert_allclose(array, expected.numpy(), rtol=1e-4, atol=1e-5)


class Largest(nn.Module):
    def forward(self, images):
        return images.scatter_reduce(1, images.argmax(1, keepdim=True), images[:, :1], 'amax')


def test_opset_that_lacks_an_operation_is_refused():
    x = torch.randn(1, 3, 4, 4)
    with pytest.raises(ValueError, match=r'^opset 17: ScatterElements that reduces by min or max needs opset 18$'):
        to_onnx(Largest().eval(), [x], 17)
    to_onnx(Largest().eval(), [x], 18)
    with pytest.raises(ValueError, match=r'^opset 21: can be 16 to 20$'):
        to_onnx(Largest().eval(), [x], 21)


def test_torch_without_the_exporter_is_named(monkeypatch):
    monkeypatch.setattr(torch, '__version__', '2.1.2+cpu')
    with pytest.raises(ValueError, match=r'^export to ONNX needs torch 2\.6 or later, and 2\.1\.2\+cpu is installed$'):
        to_onnx(nn.ReLU().eval(), [torch.zeros(1)])
