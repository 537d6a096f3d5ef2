"""Memory-saving normalization under SyncBatchNorm in two processes on one GPU, by gloo, since NCCL refuses that.

Both processes run both forms, ``norm_act`` and ``act(norm(x))``, on batches of unequal sizes.
"""

import copy
from itertools import product
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import pytest
import torch
from mmengine.registry import MODELS
from torch import Tensor, distributed, nn
from torch.testing import assert_close

from mmspartan.benchmark.costs import saved_bytes
from mmspartan.nn.conv_norm_act import ConvNormAct
from mmspartan.ops.activations import OPERATORS
from mmspartan.ops.norm_act import _SyncBatchNormAct
from tests.conftest import TINY
from tests.gpu.conftest import no_waits, with_clear_winner

FORMATS = {'contiguous': torch.contiguous_format, 'channels_last': torch.channels_last}
EVEN, EMPTY, SINGLE = ((3, 4, 9, 7), (5, 4, 9, 7)), ((3, 4, 9, 7), (0, 4, 9, 7)), ((3, 4, 1, 1), (1, 4, 1, 1))


class Case(NamedTuple):
    """``shapes``: of the input in each process."""

    norm: str = 'BN'
    act: str = 'GELU'
    dtype: str = 'float32'
    memory_format: str = 'contiguous'
    shapes: tuple = EVEN

    def build(self) -> ConvNormAct:
        layer = ConvNormAct(nn.Conv2d(4, 6, 1, bias=False), dict(type=self.norm), dict(type=self.act))
        for values in (layer.norm.weight, layer.norm.bias):
            nn.init.normal_(values)
        if self.norm == 'BN':
            layer = nn.SyncBatchNorm.convert_sync_batchnorm(layer)  # as the Runner does for sync_bn='torch'
        return layer.to('cuda', memory_format=FORMATS[self.memory_format])


CASES = [
    *(Case('BN', *options) for options in product(('GELU', 'SiLU'), ('float32', 'float16', 'bfloat16'), FORMATS)),
    Case('SyncBN'),
    Case(shapes=EMPTY),
    Case(shapes=SINGLE),  # the process with one value runs the plain form, the other one the new form
]
SIDES = ('found', 'expected')


def plain(x: Tensor, norm: nn.Module, act: nn.Module) -> Tensor:
    return act(norm(x))


def step(model: nn.Module, x: Tensor, dtype: str) -> dict[str, Tensor]:
    """Output, gradients and statistics of a step, and the bytes that another one keeps."""
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    with torch.autocast('cuda', getattr(torch, dtype), enabled=dtype != 'float32'):
        out = model(x)
        y = out[0] if isinstance(out, tuple) else out
    weights = torch.linspace(-1, 1, y.numel(), device='cuda').view_as(y)
    (y.float() * weights).sum().backward()
    results = {'output': y.detach(), 'input': x.grad}
    results.update((name, parameter.grad) for name, parameter in model.named_parameters())
    results.update((name, buffer.clone()) for name, buffer in model.named_buffers())
    with torch.autocast('cuda', getattr(torch, dtype), enabled=dtype != 'float32'):
        results['kept'] = torch.tensor(saved_bytes(model, x))
    # without an image there are no gradients of parameters
    return {name: result.cpu() for name, result in results.items() if result is not None}


def both(model: nn.Module, x: Tensor, dtype: str = 'float32') -> dict[str, dict[str, Tensor]]:
    found = step(copy.deepcopy(model), x, dtype)
    with patch('mmspartan.nn.conv_norm_act.norm_act', plain):
        return dict(zip(SIDES, (found, step(model, x, dtype))))


def process(rank: int, folder: Path) -> None:
    distributed.init_process_group('gloo', init_method=f'file://{folder}/group', rank=rank, world_size=2)
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    results = {}
    for case in CASES:
        torch.manual_seed(0)
        layer = case.build()
        torch.manual_seed(1 + rank)
        x = torch.randn(case.shapes[rank], device='cuda').contiguous(memory_format=FORMATS[case.memory_format])
        results[case] = both(layer, x, case.dtype)
    torch.manual_seed(0)
    model = MODELS.build(dict(type='SpaRTAN', arch=TINY, layer_scale_init_value=0.1))
    model.init_weights()
    model = nn.SyncBatchNorm.convert_sync_batchnorm(with_clear_winner(model)).cuda()
    results['network'] = both(model, torch.randn(2 + rank, 3, 64, 96, device='cuda'))
    torch.save({str(case): result for case, result in results.items()}, folder / f'{rank}.pth')
    distributed.destroy_process_group()


@pytest.fixture(scope='module')
def results(tmp_path_factory) -> list[dict]:
    folder = tmp_path_factory.mktemp('processes')
    torch.multiprocessing.spawn(process, (folder,), nprocs=2)
    return [torch.load(folder / f'{rank}.pth', weights_only=True) for rank in range(2)]


def assert_near(found: dict[str, Tensor], expected: dict[str, Tensor], limit: float) -> None:
    """Each tensor to ``limit``, relative to its largest value or 1: biases before a normalization have gradient 0."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        largest = max(1.0, value.abs().max().item()) if value.numel() else 1.0
        assert_close(found[name], value, rtol=0, atol=limit * largest, msg=lambda text, name=name: f'{name}: {text}')


@pytest.mark.parametrize('rank', [0, 1])
@pytest.mark.parametrize('case', CASES, ids=lambda case: '-'.join(map(str, case)))
def test_same_as_normalization_and_activation(case, rank, results):
    found, expected = (dict(results[rank][str(case)][side]) for side in SIDES)
    saved = expected.pop('kept') - found.pop('kept')
    one_value = case.shapes is SINGLE and rank == 1
    # PyTorch drops the counts of empty processes, 4 bytes each
    assert saved == pytest.approx(0 if one_value else expected['output'].nbytes, abs=4)
    assert_near(found, expected, limit=max(1e-5, 2 * torch.finfo(getattr(torch, case.dtype)).eps))


@pytest.mark.parametrize('rank', [0, 1])
def test_whole_network(rank, results):
    found, expected = (dict(results[rank]['network'][side]) for side in SIDES)
    assert found.pop('kept') < 0.88 * expected.pop('kept')
    assert_near(found, expected, limit=1e-4)


def test_processes_share_their_statistics(results):
    name = 'norm.running_mean'
    first, second = (result[str(CASES[0])]['found'][name] for result in results)
    assert first.abs().min() > 0 and torch.equal(first, second)


@pytest.fixture
def nccl(tmp_path):
    distributed.init_process_group('nccl', init_method=f'file://{tmp_path}/group', rank=0, world_size=1)
    yield distributed.group.WORLD
    distributed.destroy_process_group()


@pytest.mark.parametrize('act', [nn.GELU(), nn.SiLU()])
def test_one_process_by_nccl_does_not_wait(act, nccl):
    torch.manual_seed(0)
    x = torch.randn(3, 6, 9, 7, device='cuda', requires_grad=True)
    norm = nn.SyncBatchNorm(6).cuda()
    expected = act(copy.deepcopy(norm)(x))
    grad = torch.randn_like(expected)

    def run() -> tuple[Tensor, Tensor]:
        statistics = (norm.running_mean, norm.running_var, norm.eps, norm.momentum)
        y = _SyncBatchNormAct.apply(x, norm.weight, norm.bias, *statistics, nccl, 1, OPERATORS[type(act)])
        return y, torch.autograd.grad(y, x, grad)[0]

    assert_close(run(), (expected, torch.autograd.grad(expected, x, grad)[0]))
    with no_waits():
        run()
