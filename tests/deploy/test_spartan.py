"""A folded SpaRTAN gives the same, compiled, exported and differentiated as well."""

import pytest
import torch
from torch.testing import assert_close

from tests.conftest import perturb


@torch.no_grad()
def test_deployed_compiles_to_one_graph(build_spartan):
    model = build_spartan(channels_last=True, layer_scale_init_value=0.1).eval()
    model.switch_to_deploy()
    x = torch.randn(2, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    assert_close(torch.compile(model, fullgraph=True, backend='aot_eager')(x)[0], model(x)[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_deployed_passes_gradients_on(memory_format, build_spartan):
    model = build_spartan(layer_scale_init_value=0.1).double().eval()
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64).contiguous(memory_format=memory_format).requires_grad_()
    (expected,) = torch.autograd.grad(model(x)[0].square().mean(), x)
    model.switch_to_deploy()
    (found,) = torch.autograd.grad(model(x)[0].square().mean(), x)
    assert_close(found, expected)


def test_deployed_is_not_trained(build_spartan):
    model, x = build_spartan(deploy=True), torch.randn(2, 3, 64, 64)
    expected = model(x)[0]
    with pytest.raises(ValueError, match=r'SpaRTAN: deploy must be False in training.*Build it with deploy=False'):
        model.train()(x)
    assert_close(model.eval()(x)[0], expected)


@torch.no_grad()
def test_deployed_in_training_mode_gives_the_same(build_spartan):
    model = build_spartan(drop_path_rate=0.5).eval()
    model.switch_to_deploy()
    x = torch.randn(2, 3, 64, 64)
    expected = model(x)[0]
    assert_close(model.train()(x)[0], expected)


VARIANTS = {
    'default': {},
    'full': dict(conv_type='full'),
    'depthwise': dict(conv_type='depthwise'),
    'one 5x5': dict(smixer=dict(type='SMixer', kernel_size=5)),
    'large kernels': dict(smixer=dict(type='SMixer', kernel_size=(5, 7), dilation=1, small_kernel=True)),
    'baselines': dict(smixer=dict(type='ConvSMixer'), cmixer=dict(type='MLPCMixer', se=True)),
    'layer norm': dict(conv_norm_cfg=dict(type='ChannelLN')),
    'no affine': dict(norm_cfg=dict(type='GN', num_groups=1, affine=False)),
}


@pytest.mark.parametrize('variant', VARIANTS)
@torch.no_grad()
def test_deployed_gives_the_same(variant, build_spartan):
    model = build_spartan(out_indices=(0, 1, 2, 3), layer_scale_init_value=0.3, **VARIANTS[variant]).double()
    perturb(model, 0.1)
    with pytest.raises(RuntimeError, match=r'SpaRTAN\.switch_to_deploy: call eval\(\) first'):
        model.train().switch_to_deploy()
    model.eval()
    x = torch.randn(2, 3, 64, 96, dtype=torch.float64)
    expected = model(x)
    model.switch_to_deploy()
    for stage, wanted in zip(model(x), expected):
        assert_close(stage, wanted, rtol=1e-9, atol=1e-9)
    after = set(model.state_dict())
    assert not any(name.endswith(('running_mean', 'smixer.gamma')) for name in after)
    assert variant == 'baselines' or not any('scale' in name for name in after)
    assert not any(name.endswith('complex_weight') or '.small.' in name for name in after)
    model.switch_to_deploy()  # nothing is left to do
    assert set(model.state_dict()) == after
    for stage, wanted in zip(model(x), expected):
        assert_close(stage, wanted, rtol=1e-9, atol=1e-9)
