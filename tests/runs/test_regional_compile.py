"""Trainings whose blocks are compiled give what eager ones do, and each goes on as the other."""

import copy
import logging

import pytest
import torch
from mmengine.registry import MODELS
from torch._dynamo.utils import counters

from mmspartan.benchmark.models import ground_truth
from mmspartan.deploy import deploy
from mmspartan.runs import regional_compile
from mmspartan.runs.regional_compile import compile_regions, reason_against, regions
from mmspartan.runs.runner import ResumableRunner
from mmspartan.runs.work_dir import latest_checkpoint
from mmspartan.stack import release
from tests.configs.smallest import smallest
from tests.conftest import perturb

pytestmark = [
    pytest.mark.usefixtures('one_thread'),
    pytest.mark.skipif(
        release(torch.__version__) < regional_compile.NEEDS, reason='torch is too old to compile regions'
    ),
]

# Blocks of one kind; all of the three stages that follow are of others.
ONE_KIND = dict(channels=(16, 16, 16, 16), depths=(3, 1, 1, 1), expand_ratios=(2, 2, 2, 2))
FAST = dict(backend='aot_eager')  # the same graphs as inductor's, and none of its code


@pytest.fixture(autouse=True)
def forget():
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def build(**options):
    torch.manual_seed(0)
    model = MODELS.build(dict(type='SpaRTAN', arch=ONE_KIND, out_indices=0, **options))
    perturb(model)
    return model


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_values_and_gradients_are_those_of_the_eager_network_and_sizes_are_dynamic(dtype):
    eager = build().train()
    compiled = copy.deepcopy(eager)
    assert compile_regions(compiled, **FAST) == {'SpaRTANBlock': 3}
    assert compiled.state_dict().keys() == eager.state_dict().keys()
    graphs = []
    for batch, height, width in ((2, 64, 64), (3, 64, 96), (2, 96, 32), (4, 32, 160), (3, 128, 64)):
        x, results = torch.randn(batch, 3, height, width), []
        for model in (eager, compiled):
            model.zero_grad()
            with torch.autocast('cpu', dtype, enabled=dtype != torch.float32):
                out = model(x)[0].float()
            out.square().mean().backward()
            results.append((out.detach(), torch.cat([p.grad.flatten() for p in model.parameters()])))
        for found, expected in zip(*results):
            close = 1e-4 if dtype == torch.float32 else 0.1
            assert (found - expected).norm() <= close * expected.norm()
        graphs.append(counters['stats']['unique_graphs'])
    # two where autocast hands the first block another dtype than the next ones, and again for each dynamic side
    kinds = 1 if dtype == torch.float32 else 2
    assert graphs[0] == kinds and graphs[-1] == graphs[2] <= 3 * kinds


def test_blocks_that_are_computed_again_and_frozen_ones():
    assert regions(build(with_cp=True)) == []
    model = build(frozen_stages=1).train()
    compile_regions(model, **FAST)
    x = torch.randn(2, 3, 64, 64, requires_grad=True)
    model(x)[0].mean().backward()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_detector_trains_as_the_eager_one_and_is_deployed_afterwards():
    eager = MODELS.build(smallest('rtdetr_spartan_xt_digits').model).train()
    perturb(eager)
    compiled = copy.deepcopy(eager)
    found = compile_regions(compiled, **FAST)
    assert {'SpaRTANBlock', 'CSPRepLayer', 'RTDETRTransformerDecoderLayer'} <= found.keys()
    images, results = torch.rand(2, 3, 64, 64), []
    samples = ground_truth(eager, images)
    for sample in samples:
        sample.gt_instances.labels %= 3
    for model in (eager, compiled):
        torch.manual_seed(0)  # of denoising
        loss, _ = model.parse_losses(model.loss(images, samples))
        loss.backward()
        results.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    assert (results[1] - results[0]).norm() <= 1e-3 * results[0].norm()
    deployed = [deploy(model.eval())(images, mode='tensor') for model in (eager, compiled)]
    torch.testing.assert_close(deployed[1], deployed[0])


@pytest.mark.parametrize('setting', [dict(regions=True, **FAST), False])
def test_compiled_and_eager_runs_resume_each_other(setting, train):
    options = {'model.backbone.arch': ONE_KIND, 'model.backbone.out_indices': 0, 'model.head.in_channels': 16}
    other = False if setting else dict(regions=True, **FAST)
    whole = train('whole', compile=False, **options)
    broken = train('broken', kill=('after_train_iter', 12), compile=setting, **options)
    train('broken', resume=latest_checkpoint(broken), compile=other, **options)
    weights = [torch.load(folder / 'epoch_2.pth')['state_dict'] for folder in (whole, broken)]
    assert weights[0].keys() == weights[1].keys()
    for key, value in weights[0].items():
        torch.testing.assert_close(weights[1][key], value, rtol=0.02, atol=2e-3)


DDP = """
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from mmspartan.runs.regional_compile import compile_regions
from tests.runs.test_regional_compile import FAST, build

dist.init_process_group('gloo')
torch.manual_seed(dist.get_rank())
x = torch.randn(2, 3, 64, 64)
found = []
for compiled in (False, True):
    model = build().train()
    model = DistributedDataParallel(model, static_graph=True, gradient_as_bucket_view=True)
    if compiled:
        assert compile_regions(model, **FAST) == {'SpaRTANBlock': 3}
    for _ in range(2):
        model.zero_grad()
        model(x)[0].square().mean().backward()
    found.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
assert (found[0] - found[1]).norm() <= 1e-4 * found[0].norm()
dist.destroy_process_group()
"""


def test_two_processes_have_the_same_gradients(two_processes):
    two_processes(DDP)


@torch._dynamo.config.patch(suppress_errors=False)  # monkeypatch would delete the setting afterwards
def test_gpus_compile_by_default_and_say_why_if_they_do_not(monkeypatch, caplog):
    runner = ResumableRunner.__new__(ResumableRunner)
    runner.model, runner.logger = build(), logging.getLogger('regions')
    monkeypatch.setattr(regional_compile.nn.Module, 'compile', lambda module, **options: None)
    said = []
    for setting, cuda, triton in ((None, False, True), (None, True, True), (None, True, False), (False, True, True)):
        runner.cfg = {} if setting is None else dict(compile=setting)
        monkeypatch.setattr('torch.cuda.is_available', lambda cuda=cuda: cuda)
        monkeypatch.setattr(regional_compile, 'find_spec', lambda name, triton=triton: triton or None)
        caplog.clear()
        with caplog.at_level(logging.INFO, 'regions'):
            runner._maybe_compile('train_step')
        said.append(caplog.messages)
    assert said[0] == [] and said[3] == []
    assert said[1] == ['Compiled in the first iterations, which take longer: 3 SpaRTANBlock; compile=False: eager']
    assert said[2] == ['The training is not compiled: Triton is not installed']


def test_reasons(monkeypatch):
    monkeypatch.setattr(regional_compile, 'find_spec', lambda name: True)
    monkeypatch.setattr(regional_compile.shutil, 'which', lambda name: None)
    assert reason_against() == 'there is no C compiler, which Triton needs'
    monkeypatch.setattr(torch, 'are_deterministic_algorithms_enabled', lambda: True)
    assert reason_against().startswith('randomness.deterministic is set')
    monkeypatch.setattr(torch, 'are_deterministic_algorithms_enabled', lambda: False)
    monkeypatch.setattr(torch, '__version__', '2.1.2')
    assert reason_against() == 'torch 2.1.2 is older than 2.6'
