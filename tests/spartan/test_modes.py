"""The backbone under autocast, channels_last, torch.compile and gradient checkpointing."""

import pytest
import torch
from torch.testing import assert_close

from mmspartan.stack import release
from tests.conftest import TINY, require_autocast

SHALLOW = dict(TINY, depths=(1, 1, 1, 1))  # each block takes a second to compile


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast_keeps_the_result_and_gives_finite_gradients(dtype, build_spartan):
    require_autocast(dtype)
    model = build_spartan(drop_path_rate=0.1, layer_scale_init_value=0.1)
    x = torch.randn(2, 3, 64, 96)
    with torch.autocast('cpu', dtype):
        (out,) = model(x)
        out.float().square().mean().backward()
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in model.parameters())
    model.eval()
    for name, parameter in model.named_parameters():
        if name.endswith('norm2.bias'):
            parameter.data[3] = 10.0  # a clear winner of the channel argmax, where rounding could decide a near-tie
    with torch.no_grad():
        (high,) = model(x)
        with torch.autocast('cpu', dtype):
            (low,) = model(x)
    assert (low - high).norm() < 16 * torch.finfo(dtype).eps * high.norm()


def test_channels_last_computes_the_same_and_stays_channels_last(build_spartan):
    model = build_spartan(layer_scale_init_value=0.1).double().eval()
    x = torch.randn(2, 3, 64, 96, dtype=torch.float64)
    expected = model(x)[0]
    out = model.to(memory_format=torch.channels_last)(x.contiguous(memory_format=torch.channels_last))[0]
    assert_close(out, expected)
    assert out.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize('training', [False, True])
def test_compiles_to_one_graph(training, build_spartan):
    model = build_spartan(arch=SHALLOW, layer_scale_init_value=0.1).double().train(training)
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    expected = model(x)[0]
    # graphs are captured and differentiated as on a GPU, without generating code
    assert_close(torch.compile(model, fullgraph=True, backend='aot_eager')(x)[0], expected)


@pytest.mark.skipif(release(torch.__version__) < (2, 2), reason='torch 2.1 compiles no recomputed BatchNorm, 2.14 does')
def test_compiled_checkpointing_counts_batch_statistics_once(build_spartan):
    models = [build_spartan(arch=SHALLOW, with_cp=with_cp).double().train() for with_cp in (False, True)]
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    models[0](x)[0].square().mean().backward()
    torch.compile(models[1], fullgraph=True, backend='aot_eager')(x)[0].square().mean().backward()
    for (name, plain), compiled in zip(models[0].named_buffers(), models[1].buffers()):
        assert_close(compiled, plain, msg=name)
    for (name, plain), compiled in zip(models[0].named_parameters(), models[1].parameters()):
        assert_close(compiled.grad, plain.grad, msg=name)


def test_no_complex_tensor_is_made(build_spartan):
    model = build_spartan()
    with torch.profiler.profile() as profile:
        model(torch.randn(1, 3, 64, 64))[0].sum().backward()
    assert not [event.name for event in profile.events() if 'complex' in event.name or 'view_as_real' in event.name]


def test_checkpointing_changes_neither_gradients_nor_statistics(build_spartan):
    x = torch.randn(2, 3, 64, 64)
    models = [build_spartan(drop_path_rate=0.5, with_cp=with_cp) for with_cp in (False, True)]
    for model in models:
        torch.manual_seed(1)
        model(x)[0].square().mean().backward()
    for (name, plain), recomputed in zip(models[0].named_parameters(), models[1].parameters()):
        assert_close(recomputed.grad, plain.grad, msg=name)
    for (name, plain), recomputed in zip(models[0].named_buffers(), models[1].buffers()):
        assert_close(recomputed, plain, msg=name)


@pytest.mark.parametrize('has_gpu', [False, True])
def test_weights_in_channels_last_lead_the_features(has_gpu, build_spartan, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: has_gpu)
    first, second = build_spartan(), build_spartan(channels_last=has_gpu)
    other, plain = (second, first) if has_gpu else (first, second)  # the default depends on the GPU
    other.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 64, 64)
    (expected,), (found,) = plain(x), other(x)
    assert found.is_contiguous(memory_format=torch.channels_last) and not found.is_contiguous()
    assert_close(found, expected, rtol=1e-4, atol=1e-4)
    found.mean().backward()
    kernel = other.patch_embeds[0][1].conv.weight
    assert kernel.grad.stride() == kernel.stride() != plain.patch_embeds[0][1].conv.weight.stride()
