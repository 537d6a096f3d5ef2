"""RT-DETRv2 computes what the authors' code computes, trains, predicts, folds, compiles and runs on a GPU alone."""

import copy

import numpy as np
import onnx
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from mmspartan.deploy import deploy
from mmspartan.deploy.onnx import to_onnx
from mmspartan.deploy.precision import to_float16
from mmspartan.deploy.session import Session
from mmspartan.rtdetr.deformable_attention import DeformableAttention
from tests.conftest import perturb
from tests.deploy.test_onnx import needs_export
from tests.dfine.golden import Golden
from tests.rtdetr.make_golden import CONFIGS
from tests.rtdetr.test_detector import batch, build, losses_of, total
from tests.rtdetr.test_golden import CONFIG
from tests.runs.test_cuda_graphs import HostUse, on_fake_gpu

SAMPLINGS = [dict(num_points=[4, 2, 1]), dict(num_points=[4, 2, 1], method='discrete')]


def build_version_2(dn_cfg: dict = dict(num_denoising=20), **sampling):
    decoder = copy.deepcopy(CONFIG['decoder'])
    decoder['layer_cfg']['cross_attn_cfg'].update(sampling)
    return build(decoder=decoder, dn_cfg=dn_cfg)


@pytest.mark.parametrize('kind', CONFIGS)
def test_outputs_losses_and_gradients_are_those_of_the_authors_code(kind, monkeypatch):
    golden = Golden('rtdetrv2.npz', kind, f'rtdetrv2_{kind}_coco')
    golden.assert_outputs()
    golden.assert_losses_and_gradients(monkeypatch)


@pytest.fixture(params=SAMPLINGS, ids=['points', 'discrete'])
def model(request):
    return build_version_2(**request.param)


def test_steps_move_every_parameter_but_the_offsets_of_discrete_sampling(model):
    perturb(model, 0.05)
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    is_discrete = model.decoder.layers[0].cross_attn.is_discrete
    assert frozen == {name for name, _ in model.named_parameters() if is_discrete and 'sampling_offsets' in name}
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-4)
    for counts in ((3, 2), (3, 0)):
        loss = total(losses_of(model, batch(*counts)))
        optimizer.zero_grad()
        loss.backward()
        assert loss.isfinite()
        assert {name for name, p in model.named_parameters() if p.grad is None} == frozen
        optimizer.step()
    assert {name for name, p in model.named_parameters() if torch.equal(p, before[name])} == frozen
    found = model.eval().test_step(batch(1, 1))
    assert all(len(sample.pred_instances) == 30 and sample.pred_instances.bboxes.isfinite().all() for sample in found)


def test_weights_of_interpolation_are_those_of_discrete_sampling():
    interpolating, discrete = build(), build_version_2(method='discrete')
    discrete.load_state_dict(interpolating.state_dict())
    images = torch.rand(1, 3, 96, 128)
    with torch.no_grad():
        perturb(interpolating, 0.05)
        discrete.load_state_dict(interpolating.state_dict())
        found, other = discrete.eval()(images)[1], interpolating.eval()(images)[1]
    assert not torch.equal(found, other) and (found - other).abs().median() < 0.05


@pytest.mark.parametrize(('kind', 'options'), [('RTDETR', {}), ('RTDETR', dict(xavier_init=True)), ('DFINE', {})])
def test_layers_start_from_weights_with_the_authors_bounds(kind, options):
    decoder = dict(CONFIG['decoder'], num_query_pos_layers=3)
    model = build(kind=kind, decoder=decoder, **options)
    *first, last = (layer.weight for layer in model.decoder.query_pos_head.layers)
    xavier, default = [model.memory_trans_fc.weight, *first], [last]
    chosen = [layer.weight for block in model.decoder.layers for layer in (block.ffn.layers[0][0], block.ffn.layers[1])]
    chosen += [conv.conv.weight for conv in model.input_convs if kind == 'RTDETR']
    (xavier if options or kind == 'DFINE' else default).extend(chosen)
    for weights, bound in ((xavier, lambda out, of: (6 / (out + of)) ** 0.5), (default, lambda out, of: of**-0.5)):
        assert weights
        for weight in weights:
            assert weight.abs().max().item() == pytest.approx(bound(*weight.shape[:2]), rel=0.02)


def test_everything_is_folded(model):
    assert_everything_is_folded(model, 96, 128)


@torch.no_grad()
def assert_everything_is_folded(model, *size: int) -> None:
    perturb(model.double(), 0.05)
    images = torch.rand(2, 3, *size).double()
    expected = model.eval()(images)
    folded = deploy(model)
    assert not any('running_mean' in name for name in folded.state_dict())
    for found, wanted in zip(folded(images), expected):
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


def test_everything_is_computed_on_the_device(model):
    # a size of no other test: constants are kept by their size
    assert_is_computed_on_the_device(model, 448 + 32 * model.decoder.layers[0].cross_attn.is_discrete)


def assert_is_computed_on_the_device(model, width: int) -> None:
    model.eval()(torch.rand(1, 3, 96, width))  # checks of values run here
    with FakeTensorMode(), torch.no_grad():
        on_fake_gpu(model)
        images = torch.empty(1, 3, 96, width, device='cuda')
        model._forward(images)  # makes the constants
        with HostUse() as used:
            model._forward(images)
    assert used.names == []


class Attend(torch.nn.Module):
    """Attention of queries around boxes to features on three levels, which are named as the runtimes demand."""

    def __init__(self, **sampling):
        super().__init__()
        torch.manual_seed(0)
        self.attention = DeformableAttention(embed_dims=16, num_heads=2, num_levels=3, dropout=0.0, **sampling)
        perturb(self, 0.3)

    def forward(self, images, query, boxes):
        shapes = [(8, 12), (4, 6), (2, 3)]
        return self.attention(
            query=query,
            value=images.flatten(2).mT,
            query_pos=query.flip(1),
            reference_points=boxes.sigmoid()[:, :, None],
            spatial_shapes=torch.tensor(shapes),
            level_start_index=torch.tensor([0, 96, 120]),
            shapes=shapes,
        )


INPUTS = dict(images=(2, 16, 9, 14), query=(2, 5, 16), boxes=(2, 5, 4))


@pytest.fixture(params=SAMPLINGS, ids=['points', 'discrete'])
def attend(request) -> tuple[Attend, dict[str, torch.Tensor]]:
    return Attend(**request.param).eval(), {name: torch.randn(shape) for name, shape in INPUTS.items()}


@torch.no_grad()
def test_attention_compiles_to_one_graph(attend):
    network, inputs = attend
    compiled = torch.compile(network, backend='aot_eager', fullgraph=True)
    torch.testing.assert_close(compiled(**inputs), network(**inputs))


@needs_export
@pytest.mark.parametrize('opset', [16, 20])
@torch.no_grad()
def test_attention_is_exported_with_points_in_float32(opset, attend, tmp_path):
    network, inputs = attend
    options = dict(input_names=list(inputs), output_names=['output'])
    exported = to_onnx(network, list(inputs.values()), opset, **options).model_proto
    kinds = [node.op_type for node in exported.graph.node]
    is_discrete = network.attention.is_discrete
    assert kinds.count('Floor') == is_discrete and ('GridSample' in kinds) != is_discrete
    onnx.save(exported, tmp_path / 'model.onnx')
    feed, expected = {name: value.numpy() for name, value in inputs.items()}, network(**inputs).numpy()
    for backend in ('onnxruntime', 'openvino'):
        found = Session(tmp_path / 'model.onnx', backend)(**feed)['output']
        np.testing.assert_allclose(found, expected, atol=1e-4)

    half = to_float16(exported)
    onnx.checker.check_model(half, full_check=True)
    types = {x.name: x.type.tensor_type.elem_type for x in onnx.shape_inference.infer_shapes(half).graph.value_info}
    points = [node.output[0] for node in half.graph.node if node.op_type == 'Floor']
    points += [node.input[1] for node in half.graph.node if node.op_type == 'GridSample']
    assert points and {types[name] for name in points} == {onnx.TensorProto.FLOAT}
    assert onnx.TensorProto.FLOAT16 in {tensor.data_type for tensor in half.graph.initializer}
