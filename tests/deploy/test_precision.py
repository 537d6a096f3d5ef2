import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from torch import nn
from torch.nn.functional import grid_sample

from mmspartan.deploy.onnx import to_onnx
from mmspartan.deploy.precision import PROPERTY, precision_of, to_float16
from mmspartan.deploy.session import Session, openvino_core


class Sampler(nn.Module):
    """Samples features at predicted points, and returns them and the points."""

    def __init__(self):
        super().__init__()
        self.conv, self.points = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 2)

    def forward(self, images):
        features = self.conv(images)
        points = (self.points(features.mean((2, 3)))[:, None, None] / 7).sigmoid()
        return grid_sample(features, 2 * points - 1, align_corners=False).flatten(1), points.flatten(1)


@pytest.fixture(scope='module')
def sampler(tmp_path_factory):
    path = tmp_path_factory.mktemp('sampler') / 'f32.onnx'
    torch.manual_seed(0)
    names = dict(input_names=['images'], output_names=['features', 'points'])
    to_onnx(Sampler().eval(), [torch.zeros(1, 3, 64, 64)], **names).save(path)
    return path


IMAGES = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)


def test_fp16_halves_the_weights_and_keeps_positions_in_float32(sampler):
    half = to_float16(onnx.load(sampler))
    onnx.checker.check_model(half, full_check=True)
    path = sampler.with_name('f16.onnx')
    onnx.save(half, path)
    inferred = onnx.shape_inference.infer_shapes(half)
    types = {value.name: value.type.tensor_type.elem_type for value in inferred.graph.value_info}
    (node,) = (node for node in half.graph.node if node.op_type == 'Sigmoid')
    assert types[node.output[0]] == onnx.TensorProto.FLOAT
    producers = {name: node for node in half.graph.node for name in node.output}
    while node.op_type != 'Cast':  # back to the product that predicts the points nothing is rounded
        node = producers[node.input[0]]
    assert producers[node.input[0]].op_type in ('Gemm', 'MatMul')
    weights = {tensor.data_type for tensor in half.graph.initializer if len(tensor.dims) > 1}
    assert weights == {onnx.TensorProto.FLOAT16}
    found, expected = Session(path)(images=IMAGES), Session(sampler)(images=IMAGES)
    for name, tolerance in (('features', 2e-2), ('points', 1e-3)):
        np.testing.assert_allclose(found[name], expected[name], atol=tolerance)


# LayerNormalization of opset 17 is in float32 inside, but not in the evaluator.
@pytest.mark.parametrize(('norm', 'opset'), [(nn.GroupNorm(1, 8), 20), (nn.GroupNorm(4, 8), 16), (nn.LayerNorm(6), 16)])
def test_fp16_normalizes_large_features(opset, norm, tmp_path):
    """ONNX Runtime would not tell: without kernels for FP16 it computes in float32 on a CPU."""
    x = 400 * torch.randn(1, 8, 5, 6)
    half = to_float16(to_onnx(norm.eval(), [x], opset, input_names=['x'], precision='f16').model_proto)
    (found,) = ReferenceEvaluator(half).run(None, {'x': x.numpy()})
    np.testing.assert_allclose(found, norm(x).detach().numpy(), atol=5e-3)


def test_precision_is_that_of_the_file_unless_another_is_asked_for(sampler):
    model = onnx.load(sampler)
    assert precision_of(model).name == 'f32'
    onnx.helper.set_model_props(model, {PROPERTY: 'bf16'})
    path = sampler.with_name('bf16.onnx')
    onnx.save(model, path)
    here = 'bf16' if 'BF16' in openvino_core().get_property('CPU', 'OPTIMIZATION_CAPABILITIES') else 'f32'
    for file, asked, expected in [
        (sampler, None, 'f32'),
        (sampler, 'bf16', here),
        (path, None, here),
        (path, 'f32', 'f32'),
    ]:
        session, exact = Session(file, 'openvino', precision=asked), Session(file)
        assert (session.precision, exact.precision) == (expected, 'f32')
        np.testing.assert_allclose(session(images=IMAGES)['features'], exact(images=IMAGES)['features'], atol=0.02)


def test_precision_that_the_runtime_lacks_is_refused(sampler):
    with pytest.raises(ValueError, match=r'^onnxruntime does not compute in bf16 on a CPU: openvino does$'):
        Session(sampler, precision='bf16')
    with pytest.raises(ValueError, match=r"^precision must be one of \['f32', 'bf16'\], got 'f16'; FP16 is a"):
        Session(sampler, 'openvino', precision='f16')


def test_file_of_an_unknown_precision_is_refused(sampler):
    model = onnx.load(sampler)
    onnx.helper.set_model_props(model, {PROPERTY: 'f8'})
    path = sampler.with_name('f8.onnx')
    onnx.save(model, path)
    with pytest.raises(ValueError, match=r"f8.onnx: the precision must be one of .*, got 'f8'"):
        Session(path, 'openvino')
