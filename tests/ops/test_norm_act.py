"""Synchronized normalization and activation in one process, on kernels of the CPU in place of PyTorch's for GPUs."""

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.testing import assert_close

from mmspartan.ops.activations import OPERATORS
from mmspartan.ops.norm_act import _SyncBatchNormAct
from tests.ops.test_ops import FORMATS, features

OVER = (0, 2, 3)  # the axes of the statistics


def stats(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    return x.mean(OVER), (x.var(OVER, correction=0) + eps).rsqrt()


def gather_stats(x, means, inverse_stds, running_mean, running_var, momentum, eps, counts) -> tuple[Tensor, Tensor]:
    (mean,), (inverse_std,), (count,) = means, inverse_stds, counts  # of one process
    running_mean.lerp_(mean, momentum)
    running_var.lerp_((inverse_std**-2 - eps) * count / (count - 1), momentum)
    return mean, inverse_std


def normalize(x, weight, bias, mean, inverse_std, eps) -> Tensor:
    scale = (weight * inverse_std)[:, None, None]
    return (x - mean[:, None, None]) * scale + bias[:, None, None]


def reduce(grad, x, mean, inverse_std, weight, *needed) -> tuple[Tensor, ...]:
    sums, products = grad.sum(OVER), (grad * (x - mean[:, None, None])).sum(OVER)
    return sums, products, products * inverse_std, sums


def input_gradient(grad, x, mean, inverse_std, weight, sums, products, counts) -> Tensor:
    mean, inverse_std, weight, sums, products = (
        each[:, None, None] for each in (mean, inverse_std, weight, sums / counts.sum(), products / counts.sum())
    )
    return (grad - sums - (x - mean) * inverse_std**2 * products) * inverse_std * weight


@pytest.fixture(scope='module')
def kernels():
    library = torch.library.Library('aten', 'IMPL', 'CPU')  # they are there for as long as this object
    library.impl('batch_norm_stats', stats)
    library.impl('batch_norm_gather_stats_with_counts', gather_stats)
    library.impl('batch_norm_elemt', normalize)
    library.impl('batch_norm_backward_reduce', reduce)
    library.impl('batch_norm_backward_elemt', input_gradient)
    yield


@pytest.fixture
def one_process(tmp_path):
    distributed.init_process_group('gloo', init_method=f'file://{tmp_path}/group', rank=0, world_size=1)
    yield distributed.group.WORLD
    distributed.destroy_process_group()


@pytest.mark.parametrize('memory_format', FORMATS)
@pytest.mark.parametrize('act', [nn.GELU(), nn.SiLU()])
def test_output_is_computed_again_in_the_backward_pass(act, memory_format, kernels, one_process):
    torch.manual_seed(0)
    x = features(memory_format, 3, 6, 5, 7)
    norm, plain = (nn.BatchNorm2d(6).train() for _ in range(2))
    for values in (norm.weight, norm.bias):
        nn.init.normal_(values)
    plain.load_state_dict(norm.state_dict())
    grad, kept = torch.randn(x.shape), []
    with torch.autograd.graph.saved_tensors_hooks(lambda each: kept.append(each) or each, lambda each: each):
        y = _SyncBatchNormAct.apply(
            x, norm.weight, norm.bias, norm.running_mean, norm.running_var, norm.eps, norm.momentum, one_process, 1,
            OPERATORS[type(act)],
        )  # fmt: skip
    assert sum(each.shape == x.shape for each in kept) == 1
    expected = act(plain(x))
    found_gradients = torch.autograd.grad(y, (x, norm.weight, norm.bias), grad)
    assert_close(y, expected)
    assert_close(found_gradients, torch.autograd.grad(expected, (x, plain.weight, plain.bias), grad))
    for name in ('running_mean', 'running_var'):
        assert_close(getattr(norm, name), getattr(plain, name))
