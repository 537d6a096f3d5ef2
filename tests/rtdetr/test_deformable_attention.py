"""Deformable attention gives the same without mmcv's operator, and computes the equations of RT-DETRv2."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from mmspartan.rtdetr import deformable_attention
from mmspartan.rtdetr.deformable_attention import DeformableAttention, has_operator, report_missing_operator

SHAPES = [(6, 8), (3, 4)]


class OnGPU:
    """Says of itself that it is on a GPU."""

    is_cuda = True


def attention_and_inputs(**options) -> tuple[DeformableAttention, dict]:
    torch.manual_seed(0)
    sizes = dict(embed_dims=16, num_heads=2, num_levels=2)
    attention = DeformableAttention(**sizes, batch_first=True, dropout=0.0, **options).double()
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    positions = sum(height * width for height, width in SHAPES)
    spatial_shapes = torch.tensor(SHAPES)
    starts = torch.cat([spatial_shapes.new_zeros(1), spatial_shapes.prod(1).cumsum(0)[:-1]])
    return attention, dict(
        query=torch.randn(2, 5, 16).double(),
        query_pos=torch.randn(2, 5, 16).double(),
        value=torch.randn(2, positions, 16).double(),
        reference_points=torch.rand(2, 5, 1, 4).double().expand(-1, -1, 2, -1),
        spatial_shapes=spatial_shapes,
        level_start_index=starts,
    )


def test_sampling_is_mmcvs():
    """mmcv's module on its own fallback, which its tests compare with the CUDA operator."""
    attention, inputs = attention_and_inputs()
    found = attention(**inputs, shapes=SHAPES)
    expected = super(DeformableAttention, attention).forward(**inputs)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def value_at(level: Tensor, x: Tensor, y: Tensor, method: str) -> Tensor:
    """Of values ``(H, W, C)`` the one at a point in units of the whole map."""
    height, width, _ = level.shape
    if method == 'discrete':
        column, row = (math.floor(position + 0.5) for position in ((x * width).item(), (y * height).item()))
        return level[min(max(row, 0), height - 1), min(max(column, 0), width - 1)]
    x, y = x * width - 0.5, y * height - 0.5  # centers of pixels are whole numbers
    total = 0 * level[0, 0]
    for row, column in itertools.product(range(height), range(width)):
        total = total + (1 - (x - column).abs()).clamp(min=0) * (1 - (y - row).abs()).clamp(min=0) * level[row, column]
    return total


def attend_point_by_point(attention, query, query_pos, value, reference_points, method, points, **_) -> Tensor:
    """The equations of RT-DETRv2, in loops over images, queries, heads, levels and points."""
    heads, channels = 2, 8
    positioned, starts = query + query_pos, [0, 6 * 8]
    values = attention.value_proj(value)
    offsets, scores = attention.sampling_offsets(positioned), attention.attention_weights(positioned)
    output = []
    for image, index, head in itertools.product(range(2), range(5), range(heads)):
        x, y, width, height = reference_points[image, index, 0]
        weights = iter(scores[image, index].view(heads, -1)[head].softmax(0))
        shifts = iter(offsets[image, index].view(heads, -1, 2)[head])
        own = values[image, :, head * channels : (head + 1) * channels]
        total = 0
        for (rows, columns), start, count in zip(SHAPES, starts, points):
            level = own[start : start + rows * columns].view(rows, columns, channels)
            for _ in range(count):
                dx, dy = next(shifts) / count
                total = total + next(weights) * value_at(level, x + dx * width / 2, y + dy * height / 2, method)
        output.append(total)
    return attention.output_proj(torch.stack(output).view(2, 5, heads * channels)) + query


@pytest.mark.parametrize('method', ['default', 'discrete'])
@pytest.mark.parametrize('points', [[4, 4], [3, 1], [1, 5]])
def test_equations_of_version_2(points, method):
    attention, inputs = attention_and_inputs(num_points=points, method=method)
    attention.sampling_offsets.bias.data.mul_(20)  # some points are outside of the map
    results = []
    for attend in (lambda **x: attention(**x, shapes=SHAPES), lambda **x: attend_point_by_point(attention, **x)):
        inputs['value'] = inputs['value'].detach().requires_grad_()
        extra = dict(method=method, points=points) if results else {}
        output = attend(**inputs, **extra)
        attention.zero_grad()
        output.square().sum().backward()
        gradients = {name: parameter.grad for name, parameter in attention.named_parameters()}
        results.append((output, inputs['value'].grad, gradients))
    (found, value, gradients), (expected, expected_value, expected_gradients) = results
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(value, expected_value, rtol=0, atol=1e-11)
    for name, gradient in gradients.items():
        is_frozen = method == 'discrete' and 'sampling_offsets' in name  # rounding has no gradient
        assert (gradient is None) == is_frozen, name
        if not is_frozen:
            torch.testing.assert_close(gradient, expected_gradients[name], rtol=0, atol=1e-11)


def test_points_start_on_a_ray_on_each_level():
    uneven = DeformableAttention(embed_dims=16, num_heads=2, num_levels=3, num_points=[3, 1, 2])
    even = DeformableAttention(embed_dims=16, num_heads=2, num_levels=3, num_points=3)
    rays = even.sampling_offsets.bias.view(2, 3, 3, 2)
    found = uneven.sampling_offsets.bias.view(2, 6, 2).split([3, 1, 2], dim=1)
    assert all(torch.equal(level, rays[:, i, : level.shape[1]]) for i, level in enumerate(found))
    before = uneven.state_dict()
    uneven.init_weights()
    assert {name: value.shape for name, value in uneven.state_dict().items()} == {
        name: value.shape for name, value in before.items()
    }
    assert not uneven.attention_weights.weight.any() and not uneven.sampling_offsets.weight.any()


def test_equal_numbers_of_points_are_one_number():
    one, (several, inputs) = attention_and_inputs()[0], attention_and_inputs(num_points=[4, 4])
    torch.testing.assert_close(one(**inputs, shapes=SHAPES), several(**inputs, shapes=SHAPES), rtol=0, atol=0)
    assert several.is_even


def test_discrete_sampling_of_a_point_that_is_not_a_number_reads_some_value():
    attention, inputs = attention_and_inputs(method='discrete')
    inputs['reference_points'] = torch.full_like(inputs['reference_points'], torch.nan)
    assert attention(**inputs, shapes=SHAPES).isfinite().all()


@pytest.mark.parametrize('on_gpu', [True, False])
@pytest.mark.parametrize('is_built', [True, False])
def test_operator_runs_on_gpus_if_mmcv_has_it(is_built, on_gpu, monkeypatch):
    monkeypatch.setattr(deformable_attention, 'HAS_OPERATOR', is_built)
    assert has_operator(OnGPU() if on_gpu else torch.zeros(1)) is (is_built and on_gpu)


def test_missing_operator_is_reported_once(monkeypatch):
    reports: list[str] = []
    monkeypatch.setattr(deformable_attention, 'HAS_OPERATOR', False)
    monkeypatch.setattr(deformable_attention, 'print_log', lambda message, logger, level: reports.append(message))
    report_missing_operator.cache_clear()
    for _ in range(3):
        has_operator(OnGPU())
    has_operator(torch.zeros(1))
    assert len(reports) == 1 and 'mmcv was built without CUDA operators' in reports[0]
