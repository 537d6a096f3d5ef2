import copy
import pickle

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from mmspartan.models.layers.inference_conv import HAS_OPERATIONS, PackedConv2d, PointwiseConv2d

SHAPES = {
    'full': dict(in_channels=6, out_channels=8, kernel_size=3, padding=1),
    'strided, no bias': dict(in_channels=6, out_channels=8, kernel_size=2, stride=2, bias=False),
    'depthwise, dilated': dict(in_channels=6, out_channels=6, kernel_size=3, padding=2, dilation=2, groups=6),
}
ACTS = [None, nn.GELU(), nn.GELU('tanh'), nn.SiLU(), nn.ReLU(), nn.LeakyReLU()]


def features(*shape) -> torch.Tensor:
    return torch.randn(*shape).contiguous(memory_format=torch.channels_last)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize('act', ACTS, ids=str)
@pytest.mark.parametrize('shape', SHAPES.values(), ids=SHAPES)
def test_convolution_and_activation_as_one(shape, act):
    conv = nn.Conv2d(**shape)
    packed = PackedConv2d(conv, copy.deepcopy(act))
    for size in ((7, 5), (4, 4)):  # packed for one size, used for another
        x = features(2, 6, *size)
        expected = conv(x) if act is None else act(conv(x))
        with torch.inference_mode():
            found = packed(x)
        assert_close(found, expected)
        assert found.is_contiguous(memory_format=torch.channels_last)
        assert_close(packed(x), expected)  # where gradients are asked for
        assert_close(packed.double()(x.double()), expected.double(), rtol=1e-4, atol=1e-4)
        packed.float()


@pytest.mark.skipif(not HAS_OPERATIONS, reason='this PyTorch is without the operations')
def test_one_operation_runs():
    packed, x = PackedConv2d(nn.Conv2d(6, 8, 3), nn.GELU()), features(1, 6, 8, 8)
    with torch.inference_mode(), torch.profiler.profile() as profile:
        packed(x)
        packed(x)
    names = [event.name for event in profile.events()]
    assert not {'aten::conv2d', 'aten::gelu', 'aten::gelu_'} & set(names)
    assert len([name for name in names if name == 'mkldnn::_convolution_pointwise']) == 2
    assert len([name for name in names if name == 'mkldnn::_reorder_convolution_weight']) == 1


@pytest.mark.skipif(not HAS_OPERATIONS, reason='this PyTorch is without the operations')
def test_sums_products_and_activations_are_part_of_the_operation():
    depthwise = PackedConv2d(nn.Conv2d(8, 8, 3, padding=1, groups=8))
    pointwise, activated = PointwiseConv2d(nn.Conv2d(8, 8, 1)), PointwiseConv2d(nn.Conv2d(8, 8, 1), nn.GELU())
    x = features(2, 8, 64, 64)
    with torch.inference_mode(), torch.profiler.profile() as profile:
        depthwise(pointwise(x, times=activated(x)), plus=x)
    names = {event.name for event in profile.events()}
    assert {'mkldnn::_linear_pointwise', 'mkldnn::_convolution_pointwise_'} <= names
    assert not {'aten::linear', 'aten::add_', 'aten::mul_', 'aten::gelu_'} & names


@torch.no_grad()
def test_weights_that_went_there_and_back_are_noticed():
    for conv in (PackedConv2d(nn.Conv2d(6, 8, 3)), PointwiseConv2d(nn.Conv2d(8, 8, 1))):
        x = features(2, conv.in_channels, 64, 64)
        for _ in range(30):  # the new weights may lie where the old ones were
            nn.init.normal_(conv.weight)
            conv(x)
            conv.half().float()
            assert_close(conv(x), nn.functional.conv2d(x, conv.weight, conv.bias), rtol=1e-5, atol=1e-5)


def test_changed_weights_are_noticed():
    conv, x = nn.Conv2d(6, 8, 3), features(1, 6, 8, 8)
    packed = PackedConv2d(conv)
    with torch.no_grad():
        first = packed(x)
        packed.weight.mul_(2)
        assert_close(packed(x) - packed.bias[:, None, None], 2 * (first - packed.bias[:, None, None]))
        packed.load_state_dict({name: value / 2 for name, value in packed.state_dict().items()})
        assert_close(packed(x), first - packed.bias[:, None, None])
        for factor in (2, 3):  # tensors, of which the second may lie where the first was
            packed.load_state_dict(
                {name: factor * value for name, value in packed.state_dict().items()}, assign=True, strict=True
            )
        assert_close(packed(x), nn.functional.conv2d(x, packed.weight, packed.bias))
        for copied in (copy.deepcopy(packed), pickle.loads(pickle.dumps(packed))):
            assert_close(copied(x), packed(x))
            copied.weight.zero_()
            assert not torch.equal(copied(x), packed(x))


@torch.no_grad()
def test_ordinary_operations_where_the_packed_do_not_apply():
    conv, x = nn.Conv2d(6, 8, 3, padding=1, padding_mode='reflect'), features(1, 6, 8, 8)
    assert_close(PackedConv2d(conv)(x), conv(x))
    conv = nn.Conv2d(6, 8, 3, padding='same')
    packed = PackedConv2d(conv, nn.GELU())
    assert_close(packed(x), nn.functional.gelu(conv(x)))
    packed = PackedConv2d(nn.Conv2d(6, 8, 3), nn.GELU())
    with torch.autocast('cpu', torch.bfloat16):
        assert packed(x).dtype == torch.bfloat16
    assert_close(torch.compile(packed, fullgraph=True, backend='aot_eager')(x), packed(x))


@pytest.mark.parametrize('act', ACTS, ids=str)
@pytest.mark.parametrize('side', [5, 64])  # of large features by oneDNN
def test_pointwise_convolution_is_a_matrix_product_in_any_memory_format(side, act):
    conv = PointwiseConv2d(nn.Conv2d(24, 8, 1), act)
    for x in (features(2, 24, side, side), torch.randn(2, 24, side, side)):
        expected = nn.functional.conv2d(x, conv.weight, conv.bias)
        expected = expected if act is None else act(expected)
        with torch.inference_mode():
            found = conv(x)
            times = conv(x, times=found.clone(memory_format=torch.preserve_format))
        assert found.stride() == expected.stride() == times.stride()
        assert_close(found, expected)
        assert_close(times, expected**2)
        assert_close(conv(x), expected)  # where gradients are asked for


@pytest.mark.parametrize('act', ACTS, ids=str)
@torch.no_grad()
def test_sum_before_the_activation(act):
    conv = nn.Conv2d(6, 6, 3, padding=1, groups=6)
    for x in (features(2, 6, 7, 5), torch.randn(2, 6, 7, 5)):
        plus = torch.randn_like(x)
        expected = conv(x) + plus
        expected = expected if act is None else act(expected)
        assert_close(PackedConv2d(conv, copy.deepcopy(act))(x, plus=plus), expected)


def test_activation_in_place_is_fused_as_well():
    first = PackedConv2d(nn.Conv2d(6, 8, 3), nn.GELU())
    assert PackedConv2d(nn.Conv2d(8, 8, 3), first.act).fused_act == first.fused_act
