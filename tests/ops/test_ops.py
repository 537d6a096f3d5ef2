"""What is computed another way for speed or memory gives what the plain operations do, in both memory formats."""

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d
from torch.testing import assert_close

from mmspartan.ops.modulated_conv import swap_pairs
from mmspartan.ops.norm_act import norm_act
from mmspartan.ops.projection import gated_projection
from mmspartan.ops.superposition import superpose
from mmspartan.spartan.channel_gate import ChannelGate
from mmspartan.spartan.modulated_conv import ModulatedConv2d

FORMATS = [torch.contiguous_format, torch.channels_last]


def features(memory_format, *shape) -> torch.Tensor:
    return torch.randn(*shape).contiguous(memory_format=memory_format).requires_grad_()


def assert_same_with_gradients(fast, plain, *leaves) -> None:
    """Values, memory format, and gradients of a loss that weighs each value on its own."""
    results = []
    for function in (fast, plain):
        out = function()
        weights = torch.linspace(-1, 1, out.numel()).view_as(out)
        results.append((out.detach(), torch.autograd.grad((out * weights).sum(), leaves)))
    (found, gradients), (expected, expected_gradients) = results
    assert found.stride() == expected.stride()
    assert_close(found, expected, rtol=1e-4, atol=1e-4)
    for gradient, wanted in zip(gradients, expected_gradients):
        assert_close(gradient, wanted, rtol=1e-4, atol=1e-3)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize('memory_format', FORMATS)
@pytest.mark.parametrize('act', [nn.GELU(), nn.SiLU()])
def test_superposition(act, memory_format):
    amplitude, phase = (features(memory_format, 2, 6, 5, 7) for _ in range(2))
    strongest = torch.randint(6, (2, 1, 5, 7))

    def plain():
        wave = amplitude * act(phase)
        return wave + wave.gather(1, strongest)

    assert_same_with_gradients(lambda: superpose(amplitude, phase, strongest, act), plain, amplitude, phase)
    both = torch.cat([amplitude, phase], 1).detach().requires_grad_()  # parts of which are not dense
    amplitude, phase = both.chunk(2, 1)
    assert_same_with_gradients(lambda: superpose(amplitude, phase, strongest, act), plain, both)


@pytest.mark.parametrize('memory_format', FORMATS)
@pytest.mark.parametrize('act', [nn.GELU(), nn.SiLU()])
def test_normalization_and_activation(act, memory_format):
    x = features(memory_format, 3, 6, 5, 7)
    norm = nn.BatchNorm2d(6).train()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    leaves = (x, norm.weight, norm.bias)
    assert_same_with_gradients(lambda: norm_act(x, norm, act), lambda: act(norm(x)), *leaves)
    gradients = [
        torch.autograd.grad(y.mean(), leaves)  # an expanded gradient
        for y in (norm_act(x, norm, act), act(norm(x)))
    ]
    assert_close(*gradients, rtol=1e-4, atol=1e-5)


def test_normalization_of_a_single_value_is_refused():
    norm = nn.BatchNorm2d(6)
    with pytest.raises(ValueError, match='more than 1 value per channel'):
        norm_act(torch.randn(1, 6, 1, 1, requires_grad=True), norm, nn.GELU())
    assert norm.running_var.isfinite().all()


@pytest.mark.parametrize('memory_format', FORMATS)
@pytest.mark.parametrize('scale_shape', [None, (4, 1, 1), (3, 4, 1, 1)])
@pytest.mark.parametrize('size', [(5, 7), (1, 3)])  # more and fewer positions than output channels
def test_gated_projection(size, scale_shape, memory_format):
    x = features(memory_format, 3, 8, *size)
    conv, gate = nn.Conv2d(8, 4, 1).train(), ChannelGate(8, 2)
    scale = None if scale_shape is None else nn.Parameter(torch.randn(scale_shape))
    leaves = [x, *conv.parameters(), *gate.parameters(), *([] if scale is None else [scale])]

    def plain():
        squeezed = gate.activation(gate.fc1(x.mean((2, 3), keepdim=True)))
        y = conv(x * gate.scale_activation(gate.fc2(squeezed)))
        return y if scale is None else scale * y

    assert_same_with_gradients(lambda: gated_projection(x, gate(x), conv, scale), plain, *leaves)


@pytest.mark.parametrize('memory_format', FORMATS)
@pytest.mark.parametrize('groups', [12, 6, 3, 2, 4, 1])  # 1, 2, 4, 6, 3 and 12 channels a group
def test_modulated_convolution(groups, memory_format):
    x = features(memory_format, 2, 12, 5, 7)
    conv = ModulatedConv2d(12, 3, groups)

    def plain():
        a, b = conv.complex_weight.unbind(1)
        real, imag = x.unflatten(1, (-1, 2)).unbind(2)
        a, b = a[:, None, None], b[:, None, None]
        modulated = torch.stack([a * real - b * imag, a * imag + b * real], 2).flatten(1, 2)
        return conv2d(modulated.contiguous(memory_format=memory_format), conv.weight, padding=1, groups=groups)

    for training in (True, False):
        conv.train(training)
        assert_same_with_gradients(lambda: conv(x), plain, x, *conv.parameters())


@pytest.mark.parametrize('memory_format', FORMATS)
def test_pairs_are_exchanged(memory_format):
    x = torch.randn(2, 6, 5, 7).contiguous(memory_format=memory_format)
    swapped = swap_pairs(x)
    assert torch.equal(swapped, x[:, [1, 0, 3, 2, 5, 4]]) and swapped.stride() == x.stride()


def test_hooks_run_in_evaluation_with_gradients(build_spartan):
    model, called = build_spartan().eval(), set()
    names = [
        name for name, module in model.named_modules() if isinstance(module, nn.Conv2d) and '.cmixer.conv' not in name
    ]
    for name in names:
        model.get_submodule(name).register_forward_hook(lambda *args, name=name: called.add(name))
    model(torch.randn(1, 3, 64, 64, requires_grad=True))
    assert called == set(names)
