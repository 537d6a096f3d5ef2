"""SpaRTAN's sizes, options and behaviour under the modes that training and deployment use."""

import math

import pytest
import torch
from mmengine.analysis import get_model_complexity_info
from mmengine.registry import MODELS, DefaultScope
from torch import nn
from torch.testing import assert_close

from mmspartan.spartan.backbone import ARCHS, SpaRTANBlock
from tests.conftest import TINY

PUBLISHED = {  # parameters with 1000 classes; multiply-adds at 224 and 256
    'xt': (2_222_792, {224: 0.631e9, 256: 0.824e9}),
    't': (3_820_296, {224: 0.818e9, 256: 1.069e9}),
}


def classifier_parameters(backbone: nn.Module, channels: int, num_classes: int = 1000) -> int:
    return sum(p.numel() for p in backbone.parameters()) + (channels + 1) * num_classes


def multiply_adds(model: nn.Module, size: int) -> float:
    return get_model_complexity_info(model.eval(), (3, size, size), show_table=False, show_arch=False)['flops']


@pytest.mark.parametrize('arch', ['xt', 't'])
def test_parameters_and_multiply_adds_are_the_published(arch, build_spartan):
    parameters, flops = PUBLISHED[arch]
    model = build_spartan(arch=arch)
    assert classifier_parameters(model, ARCHS[arch]['channels'][-1]) == parameters
    for size, expected in flops.items():
        assert multiply_adds(model, size) == pytest.approx(expected, rel=0.01)


def test_kinds_of_convolution_cost_what_table_8_says(build_spartan):
    models = {kind: build_spartan(arch='xt', conv_type=kind) for kind in ('full', 'depthwise', 'hybrid')}
    millions = {kind: round(classifier_parameters(model, 192) / 1e6, 1) for kind, model in models.items()}
    assert millions == {'full': 3.3, 'depthwise': 2.2, 'hybrid': 2.2}
    # what the table counts besides convolutions is the same for each kind
    counts = {kind: multiply_adds(model, 224) for kind, model in models.items()}
    assert counts['full'] - counts['hybrid'] == pytest.approx(754.2e6 - 614.4e6, rel=0.01)
    assert counts['hybrid'] - counts['depthwise'] == pytest.approx(614.4e6 - 539.2e6, rel=0.01)


def test_one_5x5_convolution_costs_more_than_two_3x3_as_table_5_says(build_spartan):
    small = build_spartan(arch='xt')
    large = build_spartan(arch='xt', smixer=dict(type='SMixer', kernel_size=5))
    extra = classifier_parameters(large, 192) - classifier_parameters(small, 192)
    # the table's differences are of numbers rounded to 0.01
    assert extra == pytest.approx(2.10e6 - 2.07e6, abs=0.01e6)
    assert multiply_adds(large, 224) - multiply_adds(small, 224) == pytest.approx(0.68e9 - 0.64e9, abs=0.01e9)


ABLATIONS = {
    'table 4, convolution + MLP': dict(smixer=dict(type='ConvSMixer'), cmixer=dict(type='MLPCMixer')),
    'table 4, SMixer + MLP + SE': dict(cmixer=dict(type='MLPCMixer', se=True)),
    'table 4, convolution + CMixer': dict(smixer=dict(type='ConvSMixer')),
    'table 5': dict(smixer=dict(type='SMixer', kernel_size=5)),
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
    with DefaultScope.overwrite_default_scope(scope):
        model = MODELS.build(dict(type='SpaRTAN', arch=TINY, norm_cfg=dict(type='GN', num_groups=1)))
    assert sum(p.numel() for p in model.parameters()) > 0


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast_keeps_the_result_and_gives_finite_gradients(dtype, build_spartan):
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
    model = build_spartan(layer_scale_init_value=0.1).double().train(training)
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    expected = model(x)[0]
    # graphs are captured and differentiated as on a GPU, without generating code
    assert_close(torch.compile(model, fullgraph=True, backend='aot_eager')(x)[0], expected)


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


def test_deployed_exports_any_number_of_images(build_spartan):
    model = build_spartan().eval()
    model.switch_to_deploy()
    x = torch.randn(2, 3, 64, 64)
    program = torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim('batch', max=64)},))
    assert program.module()(torch.zeros(64, 3, 64, 64))[0].shape[0] == 64


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


def test_compiled_checkpointing_counts_batch_statistics_once(build_spartan):
    models = [build_spartan(with_cp=with_cp).double().train() for with_cp in (False, True)]
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


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(arch='s'), r"arch must be one of \['xt', 't'\].*'s'"),
        (dict(arch={**TINY, 'width': 1}), r"keys \('channels', 'depths', 'expand_ratios'\).*width"),
        (dict(arch={**TINY, 'channels': (16, 24, 36, 48)}), r"arch\['channels'\] must be multiples of 8.*36"),
        (dict(arch={**TINY, 'depths': (1, 2, 2)}), r"arch\['depths'\] must be four positive integers.*\(1, 2, 2\)"),
        (dict(arch={**TINY, 'expand_ratios': (4, 4, 2, 0)}), r"arch\['expand_ratios'\] must be four positive integers"),
        (dict(arch=None), r'arch must be one of .* got None'),
        (dict(arch={**TINY, 'depths': (1, 2.5, 2, 1)}), r"arch\['depths'\] must be four positive integers.*2\.5"),
        (dict(arch={**TINY, 'channels': 32}), r"arch\['channels'\] must be four positive integers.*32"),
        (dict(out_indices=(1.5,)), r'out_indices must be .*1\.5'),
        (dict(in_channels=0), r'in_channels must be a positive integer, got 0'),
        (dict(out_indices=(0, 4)), r'out_indices must be in 0\.\.3.*\(0, 4\)'),
        (dict(out_indices=-5), r'out_indices must be .*-5'),
        (dict(in_channels=True), r'in_channels must be a positive integer, got True'),
        (dict(frozen_stages=5), r'frozen_stages must be an integer in -1\.\.4, got 5'),
        (dict(frozen_stages=1.0), r'frozen_stages must be an integer in -1\.\.4, got 1\.0'),
        (dict(drop_path_rate=1.0), r'drop_path_rate must be in \[0, 1\), got 1.0'),
        (dict(drop_path_rate=float('nan')), r'drop_path_rate must be in \[0, 1\), got nan'),
        (dict(layer_scale_init_value=float('inf')), r'layer_scale_init_value must be in \(-inf, inf\), got inf'),
        (dict(arch={**TINY, 'depths': (1, True, 2, 1)}), r"arch\['depths'\] must be four positive integers.*True"),
        (dict(out_indices=True), r'out_indices must be .*True'),
        (dict(conv_type='mixed'), r"conv_type must be one of .*'mixed'"),
        (dict(conv_type=None), r'conv_type must be one of .*None'),
        (dict(deploy='False'), r"deploy must be True or False, got 'False'"),
        (dict(norm_eval=1), r'norm_eval must be True or False, got 1'),
        (dict(smixer=dict(type='SMixer', kernel_size=7)), r'SMixer: kernel_size must be 3 .* got 7'),
        (dict(smixer=dict(type='SMixer', kernel_size=3.0)), r'SMixer: kernel_size must be 3 .* got 3\.0'),
        (dict(smixer=dict(type='SMixer', channels=12)), r'SMixer: channels must be a positive multiple of 8, got 12'),
        (dict(cmixer=dict(type='CMixer', expand_ratio=0)), r'CMixer: expand_ratio must be a positive integer, got 0'),
        (dict(cmixer=dict(type='CMixer', channels=6)), r'CMixer: channels must be a positive multiple of 4, got 6'),
        (dict(cmixer=dict(type='MLPCMixer', se='no')), r"MLPCMixer: se must be True or False, got 'no'"),
    ],
)
def test_bad_argument_is_named_with_its_value_and_what_is_allowed(options, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(dict(type='SpaRTAN', **{'arch': TINY, **options}))


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


def test_pretrained_weights_win_over_the_initialization(tmp_path, build_spartan):
    source = build_spartan()
    torch.save({'state_dict': {f'backbone.{k}': v + 1 for k, v in source.state_dict().items()}}, tmp_path / 'w.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'w.pth'), prefix='backbone.')
    model = build_spartan(init_cfg=init_cfg)
    for (name, value), loaded in zip(source.state_dict().items(), model.state_dict().values()):
        assert_close(loaded, value + 1, msg=name)


VARIANTS = {
    'default': {},
    'full': dict(conv_type='full'),
    'depthwise': dict(conv_type='depthwise'),
    'one 5x5': dict(smixer=dict(type='SMixer', kernel_size=5)),
    'baselines': dict(smixer=dict(type='ConvSMixer'), cmixer=dict(type='MLPCMixer', se=True)),
    'layer norm': dict(conv_norm_cfg=dict(type='ChannelLN')),
    'no affine': dict(norm_cfg=dict(type='GN', num_groups=1, affine=False)),
}


@pytest.mark.parametrize('variant', VARIANTS)
@torch.no_grad()
def test_deployed_gives_the_same(variant, build_spartan):
    model = build_spartan(out_indices=(0, 1, 2, 3), layer_scale_init_value=0.3, **VARIANTS[variant]).double()
    for name, tensor in model.state_dict().items():  # nothing at its start, where folding would be easy
        if name.endswith('running_var'):
            tensor.uniform_(0.5, 1.5)
        elif tensor.is_floating_point():
            tensor.add_(0.1 * torch.randn_like(tensor))
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
    assert not any(name.endswith('complex_weight') for name in after)
    model.switch_to_deploy()  # nothing is left to do
    assert set(model.state_dict()) == after
    for stage, wanted in zip(model(x), expected):
        assert_close(stage, wanted, rtol=1e-9, atol=1e-9)


def test_weights_in_channels_last_lead_the_features(build_spartan):
    plain, other = build_spartan(), build_spartan(channels_last=True)
    other.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 64, 64)
    (expected,), (found,) = plain(x), other(x)
    assert found.is_contiguous(memory_format=torch.channels_last) and not found.is_contiguous()
    assert_close(found, expected, rtol=1e-4, atol=1e-4)
    found.mean().backward()
    kernel = other.patch_embeds[0][1].conv.weight
    assert kernel.grad.stride() == kernel.stride() != plain.patch_embeds[0][1].conv.weight.stride()
