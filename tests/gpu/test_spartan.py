"""SpaRTAN gives on the GPU what it gives on the CPU, in all precisions and forms."""

import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from mmspartan.benchmark.costs import multiply_adds, peak_bytes, saved_bytes
from mmspartan.runs.regional_compile import compile_regions
from mmspartan.spartan.backbone import ARCHS
from mmspartan.spartan.reference import ReferenceSpaRTAN
from tests.conftest import perturb
from tests.gpu.conftest import no_waits, relative_error, with_clear_winner

FORMATS = [torch.contiguous_format, torch.channels_last]
HALF = [torch.float16, torch.bfloat16]


def images(dtype=torch.float32, memory_format=torch.contiguous_format) -> torch.Tensor:
    x = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return x.to('cuda', dtype, memory_format=memory_format)


def gradients(model: nn.Module, x: torch.Tensor, scale: float = 1.0) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Output, and gradients of the parameters, which are computed at ``scale`` times their size."""
    model.zero_grad()
    (out,) = model(x)
    (scale * out.to(torch.promote_types(out.dtype, torch.float32)).square().mean()).backward()
    return out, [parameter.grad / scale for parameter in model.parameters()]


@pytest.mark.parametrize('memory_format', FORMATS)
def test_training_equals_the_cpus(memory_format, build_spartan):
    plain = build_spartan(layer_scale_init_value=0.1).double()
    perturb(plain)
    model = copy.deepcopy(plain).to('cuda', memory_format=memory_format)
    expected, expected_gradients = gradients(plain, images(torch.float64).cpu())
    out, found = gradients(model, images(torch.float64, memory_format))
    assert_close(out.cpu(), expected, rtol=1e-9, atol=1e-9)
    for (name, _), gradient, wanted in zip(plain.named_parameters(), found, expected_gradients):
        # a bias before a normalization has the gradient 0
        assert_close(gradient.cpu(), wanted, rtol=1e-8, atol=1e-10, msg=name)
    for (name, buffer), wanted in zip(model.named_buffers(), plain.buffers()):
        assert_close(buffer.cpu(), wanted, msg=name)


@pytest.mark.parametrize('memory_format', FORMATS)
def test_float32_is_as_near_as_its_rounding(memory_format, build_spartan):
    plain = with_clear_winner(build_spartan(layer_scale_init_value=0.1))
    model = copy.deepcopy(plain).to('cuda', memory_format=memory_format)
    expected, expected_gradients = gradients(plain.double(), images(torch.float64).cpu())
    out, found = gradients(model, images(memory_format=memory_format))
    assert relative_error(out, expected) < 1e-5
    assert relative_error(*(torch.cat([g.flatten().cpu() for g in gs]) for gs in (found, expected_gradients))) < 1e-4


def test_compiled_regions_give_what_eager_ones_do(build_spartan):
    eager = with_clear_winner(build_spartan(layer_scale_init_value=0.1)).cuda()
    compiled = copy.deepcopy(eager)
    assert compile_regions(compiled)
    for size in ((64, 96), (96, 64), (64, 64)):
        x = torch.randn(2, 3, *size, device='cuda')
        (out, found), (expected, wanted) = (gradients(model, x) for model in (compiled, eager))
        assert relative_error(out, expected) < 1e-5
        assert relative_error(*(torch.cat([g.flatten() for g in gs]) for gs in (found, wanted))) < 1e-4


@pytest.mark.parametrize('memory_format', FORMATS)
@pytest.mark.parametrize('dtype', HALF)
def test_autocast_is_near_and_finite(dtype, memory_format, build_spartan):
    model = with_clear_winner(build_spartan(layer_scale_init_value=0.1)).to('cuda', memory_format=memory_format)
    x = images(memory_format=memory_format)
    expected, expected_gradients = gradients(model, x)
    with torch.autocast('cuda', dtype):
        out, found = gradients(model, x, scale=2.0**10)
    assert relative_error(out, expected) < 16 * torch.finfo(dtype).eps
    assert all(gradient.dtype == torch.float32 and gradient.isfinite().all() for gradient in found)
    found, expected = (torch.cat([g.flatten() for g in gs]) for gs in (found, expected_gradients))
    assert relative_error(found, expected) < 64 * torch.finfo(dtype).eps


def test_a_step_does_not_wait_for_the_gpu(build_spartan):
    model, x = build_spartan(drop_path_rate=0.1).cuda(), images()
    gradients(model, x)
    with no_waits(), torch.autocast('cuda', torch.float16):
        gradients(model, x)


def test_checkpointing_changes_neither_gradients_nor_statistics(build_spartan):
    plain, recomputed = (build_spartan(drop_path_rate=0.5, with_cp=with_cp).cuda() for with_cp in (False, True))
    results = []
    for model in (plain, recomputed):
        torch.manual_seed(1)
        with torch.autocast('cuda', torch.float16):
            results.append(gradients(model, images(), scale=2.0**10)[1])
    for (name, _), gradient, wanted in zip(plain.named_parameters(), *results):
        assert_close(gradient, wanted, rtol=1e-3, atol=1e-6, msg=name)
    for (name, buffer), wanted in zip(recomputed.named_buffers(), plain.buffers()):
        assert_close(buffer, wanted, msg=name)


def test_deterministic_training_gives_the_same_bits(deterministic, build_spartan):
    model, x = build_spartan(layer_scale_init_value=0.1).cuda(), images()
    first, second = (gradients(model, x)[1] for _ in range(2))
    assert all(torch.equal(*pair) for pair in zip(first, second))


@torch.no_grad()
@pytest.mark.parametrize('memory_format', FORMATS)
@pytest.mark.parametrize(('dtype', 'limit'), [(torch.float32, 1e-5), (torch.float16, 2e-2), (torch.bfloat16, 0.15)])
def test_deployed_gives_the_same(dtype, limit, memory_format, build_spartan):
    model = build_spartan(layer_scale_init_value=0.3).cuda()
    perturb(model)
    with_clear_winner(model).eval()
    expected = copy.deepcopy(model).double()(images(torch.float64))[0]
    deployed = copy.deepcopy(model)
    deployed.switch_to_deploy()
    for network in (model, deployed):
        network = network.to(dtype=dtype, memory_format=memory_format)
        assert relative_error(network(images(dtype, memory_format))[0], expected) < limit


@pytest.mark.parametrize('training', [False, True])
def test_compiles_to_one_graph(training, build_spartan):
    model = with_clear_winner(build_spartan(layer_scale_init_value=0.1)).cuda().train(training)
    x = images()
    expected, expected_gradients = gradients(model, x)
    if not training:
        model.switch_to_deploy()
    compiled = torch.compile(model, fullgraph=True)
    if not training:
        with torch.no_grad():
            assert relative_error(compiled(x)[0], expected) < 1e-5
        return
    out, found = gradients(compiled, x)
    assert relative_error(out, expected) < 1e-5
    assert relative_error(*(torch.cat([g.flatten() for g in gs]) for gs in (found, expected_gradients))) < 1e-4


def test_no_more_is_kept_than_in_the_plain_equations(build_spartan):
    x = torch.randn(8, 3, 224, 224, device='cuda')
    reference = ReferenceSpaRTAN(**ARCHS['t']).cuda()
    ours, recomputed = (build_spartan(arch='t', with_cp=with_cp).cuda() for with_cp in (False, True))

    def step(model: nn.Module) -> int:
        def run() -> None:
            out = model(x)
            (out if torch.is_tensor(out) else out[0]).square().mean().backward()

        run()  # the first step also makes the gradients
        return peak_bytes(run, 'cuda')

    with torch.autocast('cuda', torch.float16):
        kept = [saved_bytes(model, x) for model in (reference, ours, recomputed)]
        peaks = [step(model) for model in (reference, ours, recomputed)]
    # on GPUs the plain forms run, which keep more than those of CPUs and launch fewer operations
    assert kept[1] < kept[0] and kept[2] < 0.06 * kept[0]
    assert peaks[1] < peaks[0] and peaks[2] < 0.16 * peaks[0]
    assert multiply_adds(ours, x) == multiply_adds(ours.cpu(), x.cpu())
