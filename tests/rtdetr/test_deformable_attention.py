"""Deformable attention without mmcv's operator gives the same, and says so once."""

import pytest
import torch

from mmspartan.rtdetr import deformable_attention
from mmspartan.rtdetr.deformable_attention import DeformableAttention, has_operator, report_missing_operator

SHAPES = [(6, 8), (3, 4)]


class OnGPU:
    """Says of itself that it is on a GPU."""

    is_cuda = True


def attention_and_inputs() -> tuple[DeformableAttention, dict]:
    torch.manual_seed(0)
    attention = DeformableAttention(embed_dims=16, num_heads=2, num_levels=2, batch_first=True, dropout=0.0).double()
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
