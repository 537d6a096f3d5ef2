"""SpaRTAN's options and behaviour."""

import math

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from mmspartan.spartan.backbone import SpaRTANBlock
from tests.conftest import TINY, build_model, refuses

ABLATIONS = {
    'table 4, convolution + MLP': dict(smixer=dict(type='ConvSMixer'), cmixer=dict(type='MLPCMixer')),
    'table 4, SMixer + MLP + SE': dict(cmixer=dict(type='MLPCMixer', se=True)),
    'table 4, convolution + CMixer': dict(smixer=dict(type='ConvSMixer')),
    'table 5': dict(smixer=dict(type='SMixer', kernel_size=5)),
    'large kernels': dict(smixer=dict(type='SMixer', kernel_size=(5, 7), dilation=3, small_kernel=True)),
    'table 6': dict(stem_act_cfg=dict(type='SiLU'), downsample_act_cfg=dict(type='GELU'), act_cfg=dict(type='SiLU')),
    'table 7, BN + BN': dict(norm_cfg=dict(type='BN', eps=1e-6)),
    'table 7, LN + LN': dict(conv_norm_cfg=dict(type='ChannelLN', eps=1e-6)),
    'table 8, full': dict(conv_type='full'),
    'table 8, depthwise': dict(conv_type='depthwise'),
}


@pytest.mark.parametrize('options', ABLATIONS.values(), ids=ABLATIONS)
def test_ablations_differ_from_the_default_and_train(options, build_spartan):
    x = torch.randn(2, 3, 64, 64)
    model = build_spartan(**options)
    (out,) = model(x)
    out.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert repr(model) != repr(build_spartan())


def test_activations_of_table_6_are_where_they_are_asked_for(build_spartan):
    model = build_spartan(stem_act_cfg=dict(type='ReLU'), act_cfg=dict(type='LeakyReLU'))
    kinds = [{type(m) for m in embed.modules()} for embed in model.patch_embeds]
    assert nn.ReLU in kinds[0] and nn.SiLU not in kinds[0]
    assert all(nn.SiLU in kind and nn.ReLU not in kind for kind in kinds[1:])
    default = build_spartan()
    assert any(isinstance(m, nn.GELU) for m in default.patch_embeds[0].modules())
    assert not any(isinstance(m, nn.GELU) for m in model.modules())


@pytest.mark.parametrize('scope', [None, 'mmpretrain', 'mmdet'])
def test_found_from_every_scope(scope):
    model = build_model(dict(type='SpaRTAN', arch=TINY, norm_cfg=dict(type='GN', num_groups=1)), scope)
    assert sum(p.numel() for p in model.parameters()) > 0


@pytest.mark.parametrize(('height', 'width'), [(29, 29), (64, 160), (97, 33), (224, 224)])
def test_batch_of_one_and_any_size(height, width, build_spartan):
    outs = build_spartan(out_indices=(0, 1, 2, 3)).eval()(torch.randn(1, 3, height, width))

    def sizes(n: int) -> list[int]:
        n = math.ceil(math.ceil(n / 2) / 2)
        return [n, n // 2, n // 4, n // 8]

    expected = zip(TINY['channels'], sizes(height), sizes(width))
    assert [tuple(out.shape[1:]) for out in outs] == list(expected)


def test_image_that_does_not_survive_five_halvings_is_refused(build_spartan):
    with pytest.raises(ValueError, match=r'at least 29.*28'):
        build_spartan()(torch.randn(1, 3, 64, 28))


# Values that are refused: of SpaRTAN's options, of entries of its ``arch``, and of options of a mixer.
REFUSED = dict(
    arch=('s', None),
    in_channels=(0, True),
    out_indices=((1.5,), (0, 4), -5, True),
    frozen_stages=(5, 1.0),
    drop_path_rate=(1.0, float('nan')),
    layer_scale_init_value=(float('inf'),),
    conv_type=('mixed', None),
    deploy=('False',),
    norm_eval=(1,),
)
REFUSED_ARCH = dict(
    channels=((16, 24, 36, 48), 32), depths=((1, 2, 2), (1, 2.5, 2, 1), (1, True, 2, 1)), expand_ratios=((4, 4, 2, 0),)
)


@pytest.mark.parametrize(('option', 'value'), [(name, value) for name in REFUSED for value in REFUSED[name]])
def test_bad_option_is_refused(option, value):
    with refuses('SpaRTAN', option, value):
        MODELS.build(dict(type='SpaRTAN', **{'arch': TINY, option: value}))


@pytest.mark.parametrize(('entry', 'value'), [(name, value) for name in REFUSED_ARCH for value in REFUSED_ARCH[name]])
def test_bad_entry_of_an_architecture_is_refused(entry, value):
    with refuses('SpaRTAN', f'arch[{entry!r}]', value):
        MODELS.build(dict(type='SpaRTAN', arch={**TINY, entry: value}))


@pytest.mark.parametrize(
    ('owner', 'option', 'value'),
    [
        ('SMixer', 'kernel_size', 4),
        ('SMixer', 'kernel_size', 3.0),
        ('SMixer', 'kernel_size', []),
        ('SMixer', 'dilation', 0),
        ('SMixer', 'channels', 12),
        ('CMixer', 'expand_ratio', 0),
        ('CMixer', 'channels', 6),
        ('MLPCMixer', 'se', 'no'),
    ],
)
def test_bad_option_of_a_mixer_is_refused(owner, option, value):
    mixer = 'smixer' if owner == 'SMixer' else 'cmixer'
    with refuses(owner, option, value):
        MODELS.build(dict(type='SpaRTAN', arch=TINY, **{mixer: {'type': owner, option: value}}))


def test_unknown_entry_of_an_architecture_is_refused():
    with pytest.raises(ValueError, match=r"keys \('channels', 'depths', 'expand_ratios'\).*width"):
        MODELS.build(dict(type='SpaRTAN', arch={**TINY, 'width': 1}))


def test_frozen_stages_get_no_gradient_and_keep_their_statistics(build_spartan):
    model = build_spartan(frozen_stages=2).train()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model(torch.randn(2, 3, 64, 64))[0].sum().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == (int(name.split('.')[1]) < 2), name
    changed = {name for name, buffer in model.named_buffers() if not torch.equal(buffer, before[name])}
    assert changed and all(int(name.split('.')[1]) >= 2 for name in changed)


def test_stages_that_are_not_asked_for_are_not_built(build_spartan):
    model = build_spartan(out_indices=(0, 1), frozen_stages=3)
    assert [out.shape[1] for out in model(torch.randn(1, 3, 64, 64))] == list(TINY['channels'][:2])
    assert len(model.stages) == len(model.patch_embeds) == 2
    model = build_spartan(out_indices=1)
    model(torch.randn(1, 3, 64, 64))[0].sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_norm_eval_keeps_all_statistics(build_spartan):
    model = build_spartan(norm_eval=True).train()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model(torch.randn(2, 3, 64, 64))
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())


def test_drop_path_rates_count_from_zero_over_all_blocks(build_spartan):
    model = build_spartan(arch='xt', drop_path_rate=0.1)
    rates = [m.drop_path.drop_prob for m in model.modules() if isinstance(m, SpaRTANBlock)]
    assert rates == pytest.approx([0.1 * k / 18 for k in range(18)])


def test_initial_spread_is_that_of_the_authors(build_spartan):
    model = build_spartan(arch='t')
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 5000:
            outputs = module.out_channels // 2 if name.endswith('wave') else module.out_channels // module.groups
            expected = math.sqrt(2 / (math.prod(module.kernel_size) * outputs))
            assert module.weight.std().item() == pytest.approx(expected, rel=0.05), name
            assert module.bias is None or not module.bias.any(), name
