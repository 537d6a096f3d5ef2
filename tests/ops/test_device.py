"""What runs on GPUs gives on a CPU what the forms for CPUs do, in values and gradients."""

import copy
from contextlib import nullcontext

import pytest
import torch
from mmengine.registry import MODELS

from mmspartan.ops.device import gpu_forms, has_gpu, on_gpu
from mmspartan.ops.made_once import made_once
from tests.conftest import perturb
from tests.rtdetr.test_detector import batch, losses_of, total
from tests.rtdetr.test_detector import build as build_detector

TINY = dict(channels=(16, 16, 32, 32), depths=(1, 1, 2, 1), expand_ratios=(2, 2, 1, 2))


def test_the_context_ends():
    x = torch.zeros(1)
    with pytest.raises(RuntimeError), gpu_forms():
        assert on_gpu(x) and has_gpu()
        raise RuntimeError
    assert not on_gpu(x)


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('options', [{}, dict(channels_last=False), dict(drop_path_rate=0.3), dict(conv_type='full')])
def test_backbone(options, training):
    torch.manual_seed(0)
    model = MODELS.build(dict(type='SpaRTAN', arch=TINY, out_indices=(1, 3), **options)).double().train(training)
    perturb(model)
    x, results = torch.randn(2, 3, 64, 96, dtype=torch.float64), []
    for context in (nullcontext(), gpu_forms()):
        same = copy.deepcopy(model)
        torch.manual_seed(1)
        with context:
            outs = same(x)
        sum(out.square().mean() for out in outs).backward()
        results.append([*outs, *(parameter.grad for parameter in same.parameters()), *same.buffers()])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


def test_detector():
    model = build_detector().double()
    perturb(model, 0.05)
    results = []
    for context in (nullcontext(), gpu_forms()):
        same, data = copy.deepcopy(model), batch(3, 2)
        torch.manual_seed(1)
        with context:
            losses = losses_of(same, data)
        total(losses).backward()
        results.append([*losses.values(), *(parameter.grad for parameter in same.parameters())])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)


def test_constants_are_made_once_and_can_be_trained_with():
    calls = []

    @made_once
    def ones(size: int, device: torch.device) -> torch.Tensor:
        calls.append(size)
        return torch.ones(size, device=device)

    weight = torch.ones(2, requires_grad=True)
    with torch.inference_mode():
        ones(2, weight.device)
    (weight * ones(2, weight.device)).sum().backward()
    assert calls == [2] and weight.grad is not None
    ones(3, weight.device)
    assert calls == [2, 3]
