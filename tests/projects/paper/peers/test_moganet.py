"""MogaNet's blocks against plain formulas."""

import torch
from torch.nn.functional import conv2d, gelu, silu

from projects.paper.peers.moganet import ChannelAggregation, MultiOrderGatedAggregation
from tests.conftest import perturb


def pointwise(x, conv):
    return torch.einsum('oi,bihw->bohw', conv.weight[..., 0, 0], x) + conv.bias[:, None, None]


def test_gated_aggregation_has_kernels_5_9_and_19_over_parts_of_the_channels():
    torch.manual_seed(0)
    module = MultiOrderGatedAggregation(16).double()
    perturb(module)
    x = torch.randn(2, 16, 9, 7, dtype=torch.float64)
    y = pointwise(x, module.proj_in)
    z = silu(y + module.gamma * (y - y.mean((2, 3), keepdim=True)))
    value = module.value
    low = conv2d(z, value.low.weight, value.low.bias, padding=2, groups=16)
    middle = conv2d(low[:, 2:8], value.middle.weight, value.middle.bias, padding=4, dilation=2, groups=6)
    high = conv2d(low[:, 8:], value.high.weight, value.high.bias, padding=9, dilation=3, groups=8)
    assert value.middle.weight.shape[-1] == 5 and value.high.weight.shape[-1] == 7
    values = pointwise(torch.cat([low[:, :2], middle, high], dim=1), value.proj)
    expected = x + pointwise(silu(pointwise(z, module.gate)) * silu(values), module.proj_out)
    torch.testing.assert_close(module(x), expected)


def test_channel_aggregation_reweights_what_one_channel_does_not_hold():
    torch.manual_seed(0)
    module = ChannelAggregation(8, 4).double()
    perturb(module)
    x = torch.randn(2, 8, 5, 6, dtype=torch.float64)
    z = gelu(conv2d(pointwise(x, module.fc1), module.conv.weight, module.conv.bias, padding=1, groups=32))
    z = z + module.gamma * (z - gelu(pointwise(z, module.reduce)))
    torch.testing.assert_close(module(x), pointwise(z, module.fc2))
