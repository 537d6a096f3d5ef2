"""RT-DETR on the GPU equals that on the CPU, by mmcv's operator and without it, and trains in half precision."""

import copy
import random
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.optim import AmpOptimWrapper
from mmengine.structures import InstanceData
from torch import nn

import mmspartan
from mmspartan.deploy import deploy
from mmspartan.deploy.onnx import to_onnx
from mmspartan.deploy.session import Session
from mmspartan.deploy.tasks import build_graph, task_of_model
from mmspartan.rtdetr import BatchCopyBlend, deformable_attention
from mmspartan.rtdetr.deformable_attention import DeformableAttention
from mmspartan.rtdetr.multi_scale import BatchRandomChoiceResize
from tests.conftest import perturb
from tests.gpu.conftest import relative_error, with_clear_winner
from tests.rtdetr.test_detector import batch, build, kinds, total
from tests.rtdetr.test_version_2 import SAMPLINGS, build_version_2

QUIET = dict(num_denoising=20, label_noise=0.0, box_noise=1e-9)  # denoising without randomness


def test_objects_are_blended_as_on_the_cpu():
    preprocessor, blended = build().data_preprocessor, []
    for device in ('cpu', 'cuda'):
        data = preprocessor.to(device)(batch(3, 2), training=True)
        random.seed(0)
        images, samples = BatchCopyBlend(prob=1.0, min_area=16)(data['inputs'], data['data_samples'])
        assert not torch.equal(images, data['inputs'])
        blended.append([images.cpu(), *(sample.gt_instances.bboxes.cpu() for sample in samples)])
    for expected, found in zip(*blended):
        torch.testing.assert_close(found, expected)


@pytest.fixture(params=[True, False], ids=['operator of mmcv', 'operations of PyTorch'])
def either_attention(request, monkeypatch):
    if request.param and not deformable_attention.HAS_OPERATOR:
        pytest.skip('mmcv is built without operators for GPUs')
    monkeypatch.setattr(deformable_attention, 'HAS_OPERATOR', request.param)


def loss_and_gradient(model, counts=(3, 2), dtype=torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    data = model.data_preprocessor(batch(*counts), training=True)
    loss = total(model.train().to(dtype)(data['inputs'].to(dtype), data['data_samples'], mode='loss'))
    model.zero_grad()
    loss.backward()
    return loss.detach(), torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad])


def assert_equals_the_cpus(plain: nn.Module, counts: tuple[int, int] = (3, 2)) -> None:
    perturb(plain, 0.05)
    model = copy.deepcopy(plain).cuda()
    expected, expected_gradient = loss_and_gradient(plain, counts)
    loss, gradient = loss_and_gradient(model, counts)
    assert relative_error(loss, expected) < 1e-6
    assert relative_error(gradient, expected_gradient) < 1e-5


@pytest.mark.parametrize('counts', [(3, 2), (3, 0), (0, 0)])
def test_loss_and_gradients_equal_the_cpus(counts, either_attention):
    assert_equals_the_cpus(build(dn_cfg=QUIET), counts)


@pytest.mark.parametrize('sampling', SAMPLINGS)
def test_sampling_of_version_2_equals_the_cpus(sampling):
    assert_equals_the_cpus(build_version_2(dn_cfg=QUIET, **sampling))


def test_float32_is_as_near_as_its_rounding(either_attention):
    plain = build(dn_cfg=QUIET)
    perturb(plain, 0.05)
    model = copy.deepcopy(with_clear_winner(plain)).cuda()
    expected, expected_gradient = loss_and_gradient(plain)
    loss, gradient = loss_and_gradient(model, dtype=torch.float32)
    assert relative_error(loss, expected) < 1e-5
    assert relative_error(gradient, expected_gradient) < 1e-3


@pytest.mark.parametrize(('dtype', 'limit'), [(torch.float16, 0.2), (torch.bfloat16, 0.5)])  # a ReLU is 0 or not
def test_autocast_is_near(dtype, limit, either_attention):
    model = build(dn_cfg=QUIET)
    perturb(model, 0.05)
    with_clear_winner(model).cuda()
    expected, expected_gradient = loss_and_gradient(model, dtype=torch.float32)
    with torch.autocast('cuda', dtype):
        loss, gradient = loss_and_gradient(model, dtype=torch.float32)
    assert relative_error(loss, expected) < 4 * torch.finfo(dtype).eps
    assert relative_error(gradient, expected_gradient) < limit


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_attention_in_half_precision_samples_at_exact_points(dtype, either_attention):
    """Rounded to half precision, points on a map of 80 positions would be shifted by up to a third of a position."""
    torch.manual_seed(0)
    shapes = [(80, 80), (40, 40), (20, 20)]
    starts = torch.tensor([0, 6400, 8000], device='cuda')
    attention = DeformableAttention(embed_dims=64, num_heads=8, num_levels=3, num_points=4, dropout=0.0).cuda()
    query, position = (torch.randn(2, 50, 64, device='cuda') for _ in range(2))
    ramps = [torch.linspace(-4, 4, width, device='cuda').expand(height, -1).flatten() for height, width in shapes]
    value = torch.cat(ramps)[None, :, None].expand(2, -1, 64).contiguous()
    boxes = torch.rand(2, 50, 4, device='cuda') * 0.4 + 0.3

    def attend() -> torch.Tensor:
        return attention(
            query=query,
            value=value,
            query_pos=position,
            reference_points=boxes[:, :, None].expand(-1, -1, 3, -1),
            spatial_shapes=torch.tensor(shapes, device='cuda'),
            level_start_index=starts,
            shapes=shapes,
        )

    expected = attend()
    with torch.autocast('cuda', dtype):
        found = attend()
    assert relative_error(found, expected) < 2 * torch.finfo(dtype).eps


@pytest.mark.parametrize(('dtype', 'loss_scale'), [('float16', 'dynamic'), ('bfloat16', 1.0)])
@kinds
def test_half_precision_learns(dtype, loss_scale, kind, either_attention):
    model = build(kind=kind).cuda().train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    wrapper = AmpOptimWrapper(loss_scale=loss_scale, dtype=dtype, optimizer=optimizer)
    losses = []
    for _ in range(25):
        terms = model.train_step(batch(3, 2), wrapper)
        assert all(term.isfinite() for name, term in terms.items() if 'loss' in name)
        losses.append(float(terms['loss']))
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    predictions = model.eval().test_step(batch(3, 2))
    assert all(prediction.pred_instances.scores.isfinite().all() for prediction in predictions)


@kinds
def test_the_host_waits_once_a_step_for_the_matching(kind):
    """mmdet's overlaps and costs wait as well."""
    model = build(kind=kind).cuda()
    data = model.data_preprocessor(batch(3, 2), training=True)
    model.train()(**data, mode='loss')
    torch.cuda.set_sync_debug_mode('warn')
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            total(model(**data, mode='loss')).backward()
    finally:
        torch.cuda.set_sync_debug_mode('default')
    waits = [f'{warning.filename}:{warning.lineno}' for warning in caught if 'synchronizing' in str(warning.message)]
    ours = [place for place in waits if Path(place).is_relative_to(Path(mmspartan.__file__).parent)]
    assert len(ours) == 1 and 'head.py' in ours[0], waits


def test_batches_of_other_sizes_keep_their_boxes():
    resize = BatchRandomChoiceResize(sizes=[64])
    data = build().cuda().data_preprocessor(batch(2, 1), training=True)
    before = [sample.gt_instances.bboxes.clone() for sample in data['data_samples']]
    inputs, samples = resize(data['inputs'], data['data_samples'])
    assert inputs.is_cuda and inputs.shape[-2:] == (64, 96)
    scale = torch.tensor([96 / 128, 64 / 96] * 2, device='cuda')
    for sample, boxes in zip(samples, before):
        torch.testing.assert_close(sample.gt_instances.bboxes, boxes * scale)


@kinds
@torch.no_grad()
def test_deployed_and_compiled_give_the_same(kind, either_attention):
    model = build(kind=kind).double().cuda()
    perturb(model, 0.05)
    data = model.eval().data_preprocessor(batch(1, 1), training=False)
    images = data['inputs'].double()
    expected = model(images)
    deployed = deploy(model)
    for network, limit in ((deployed, 1e-9), (torch.compile(deployed), 1e-6)):
        for found, wanted in zip(network(images), expected):
            torch.testing.assert_close(found, wanted, rtol=limit, atol=limit)
    half = deployed.half().test_step(batch(1, 1))
    assert all(prediction.pred_instances.bboxes.isfinite().all() for prediction in half)


def test_export_from_the_gpu(tmp_path):
    model = with_clear_winner(build()).cuda().eval()
    graph, task = build_graph(deploy(model)), task_of_model(model)
    example = task.example(1, (96, 128))
    on_gpu = [value.cuda() for value in example.values()]
    program = to_onnx(graph, on_gpu, input_names=list(example), output_names=task.outputs)
    program.save(tmp_path / 'model.onnx')
    with torch.no_grad():
        expected = {name: value[0].cpu().numpy() for name, value in zip(task.outputs, graph(*on_gpu))}
    feed = {name: value.numpy() for name, value in example.items()}
    found = {name: value[0] for name, value in Session(tmp_path / 'model.onnx')(**feed).items()}
    assert task.difference(found, expected, feed) < 1e-3


def test_ignored_and_missing_objects_are_on_the_gpu_too():
    model, data = build().cuda(), batch(0, 2)
    data['data_samples'][0].ignored_instances = InstanceData(
        bboxes=torch.tensor([[5.0, 5.0, 60.0, 60.0]]), labels=torch.tensor([1])
    )
    data = model.data_preprocessor(data, training=True)
    assert total(model.train()(**data, mode='loss')).isfinite()
