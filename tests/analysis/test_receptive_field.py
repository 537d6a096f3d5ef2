"""Receptive fields of linear functions, whose derivatives are their kernels, and of SMixers, whose support is known."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from mmspartan.analysis.receptive_field import center_in_pixels, field_energy, fields_of_stage, side_of_share
from mmspartan.analysis.subject import Example
from mmspartan.errors import InputError


def conv(channels: int, kernel_size: int, dilation: int, **options) -> nn.Conv2d:
    padding = dilation * (kernel_size // 2)
    return nn.Conv2d(channels, channels, kernel_size, padding=padding, dilation=dilation, bias=False, **options)


def ones(channels: int, kernel_size: int, dilation: int) -> nn.Conv2d:
    layer = conv(channels, kernel_size, dilation, groups=channels)
    nn.init.ones_(layer.weight)
    return layer


def on_grid(kernel: torch.Tensor, dilation: int, size: int) -> torch.Tensor:
    """A kernel with its holes around position ``size // 2`` of a square."""
    field, half = torch.zeros(size, size), dilation * (len(kernel) // 2)
    start, end = size // 2 - half, size // 2 + half + 1
    field[start:end:dilation, start:end:dilation] = kernel
    return field


@pytest.mark.parametrize('dilation', [1, 2, 3])
def test_field_of_a_depthwise_convolution_of_ones_is_its_grid(dilation):
    energy = field_energy(ones(4, 3, dilation), torch.randn(1, 4, 12, 12))
    torch.testing.assert_close(energy, 4 * on_grid(torch.ones(3, 3), dilation, 12))


def test_two_convolutions_have_the_support_of_one_with_the_larger_kernel():
    x = torch.randn(1, 2, 13, 13)
    stacked = field_energy(nn.Sequential(ones(2, 3, 2), ones(2, 3, 2)), x)
    line = torch.tensor([1.0, 2, 3, 2, 1])  # [1, 1, 1] convolved with itself
    torch.testing.assert_close(stacked, 2 * on_grid(torch.outer(line, line).square(), 2, 13))
    single = field_energy(ones(2, 5, 2), x)
    assert torch.equal(stacked > 0, single > 0)


def test_field_of_a_full_convolution_sums_over_both_channels():
    torch.manual_seed(0)
    layer = conv(3, 3, 2)
    energy = field_energy(layer, torch.randn(1, 3, 9, 9))
    torch.testing.assert_close(energy, on_grid(layer.weight.detach().square().sum((0, 1)), 2, 9))


def test_random_combinations_estimate_the_sum_over_channels():
    torch.manual_seed(0)
    layer, x = conv(8, 3, 1), torch.randn(1, 8, 7, 7)
    exact = field_energy(layer, x)
    torch.testing.assert_close(field_energy(layer, x, probes=600), exact, rtol=0.2, atol=0)
    assert not torch.allclose(field_energy(layer, x, probes=1), exact, rtol=0.2)


def test_side_of_the_square_that_holds_a_share():
    energy = torch.zeros(9, 9)
    energy[2:7, 2:7] = 1
    assert [side_of_share(energy, (4, 4), share) for share in (0.01, 9 / 25, 0.5, 1.0)] == [1, 3, 5, 5]
    assert side_of_share(energy, (4.5, 4.5), 4 / 25) == 2  # around a corner of four pixels
    assert side_of_share(energy, (0, 0), 1.0) == 13


@pytest.mark.parametrize('stage', [1, 2, 3, 4])
def test_center_in_pixels_is_that_of_the_patch_embeddings(stage):
    def patch(kernel_size: int) -> nn.Conv2d:
        layer = nn.Conv2d(1, 1, kernel_size, stride=2, padding=kernel_size // 2 if kernel_size == 3 else 0, bias=False)
        nn.init.ones_(layer.weight)
        return layer

    embed = nn.Sequential(patch(3), patch(3), *(patch(2) for _ in range(stage - 1)))
    energy = field_energy(embed, torch.randn(1, 1, 128, 128))
    seen = energy.sum(1).nonzero().flatten()
    assert center_in_pixels(128 // 2 ** (stage + 1) // 2, stage) == (seen[0] + seen[-1]) / 2


@pytest.mark.parametrize('kernel_size', [3, 5])
def test_branches_of_an_smixer_see_3_and_9_positions(kernel_size, build_spartan):
    backbone = build_spartan(smixer=dict(type='SMixer', kernel_size=kernel_size)).eval()
    one = SimpleNamespace(model=SimpleNamespace(backbone=backbone), name='tiny')
    torch.manual_seed(0)
    image = np.zeros((104, 104, 3), np.uint8)
    example = Example('a.png', image, image, torch.randn(1, 3, 104, 104), [])
    for stage, size in ((1, 26), (3, 6)):  # of full, and of depthwise convolutions
        fields = fields_of_stage(one, example, stage, probes=1)
        high, low = (fields[branch, 'positions'].energy > 0 for branch in ('high', 'low'))
        assert torch.equal(high, on_grid(torch.ones(3, 3), 1, size) > 0)
        expected = on_grid(torch.ones(5, 5), 2, 26)  # cut off where the feature map ends
        assert torch.equal(low, expected[13 - size // 2 :, 13 - size // 2 :][:size, :size] > 0)


def test_size_of_the_input_can_be_chosen(build_spartan):
    one = SimpleNamespace(model=SimpleNamespace(backbone=build_spartan().eval()), name='tiny')
    image = np.zeros((32, 32, 3), np.uint8)
    example = Example('a.png', image, image, torch.randn(1, 3, 32, 32), [])
    assert fields_of_stage(one, example, 2, probes=1, size=64)['low', 'pixels'].energy.shape == (64, 64)
    assert fields_of_stage(one, example, 2, probes=1)['low', 'positions'].energy.shape == (4, 4)


def test_other_mixers_are_named(build_spartan):
    one = SimpleNamespace(model=SimpleNamespace(backbone=build_spartan(smixer=dict(type='ConvSMixer'))), name='tiny')
    with pytest.raises(InputError, match='tiny: its spatial mixers are of type ConvSMixer, not SMixer'):
        fields_of_stage(one, Example('', np.zeros(0), np.zeros(0), torch.zeros(1, 3, 32, 32), []), 1, probes=1)
