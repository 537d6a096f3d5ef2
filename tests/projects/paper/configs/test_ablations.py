"""Each row of Tables IV to VIII is SpaRTAN-XT with the one change that its table names."""

import pytest
from mmengine.config import Config

from mmspartan.analysis.counting import build_counted, parameters
from projects.paper.reproduction.configs import config_path

XT = 'spartan_xt_in1k'
GELU, SILU, BN = dict(type='GELU'), dict(type='SiLU'), dict(type='BN', eps=1e-6)
CHANNEL_LN, CONV, MLP = dict(type='ChannelLN', eps=1e-6), dict(type='ConvSMixer'), dict(type='MLPCMixer')
MLP_SE = dict(type='MLPCMixer', se=True)
CHANGES = {
    'table4_conv_mlp': dict(smixer=CONV, cmixer=MLP),
    'table4_smixer_mlp': dict(cmixer=MLP),
    'table4_smixer_mlp_se': dict(cmixer=MLP_SE),
    'table4_conv_mlp_se': dict(smixer=CONV, cmixer=MLP_SE),
    'table4_conv_cmixer': dict(smixer=CONV),
    'table4_smixer_cmixer': {},
    'table5_kernel_3': {},
    'table5_kernel_5': dict(smixer=dict(kernel_size=5)),
    'table6_gelu_gelu': dict(downsample_act_cfg=GELU),
    'table6_gelu_silu': dict(downsample_act_cfg=GELU, act_cfg=SILU),
    'table6_silu_gelu': dict(stem_act_cfg=SILU),
    'table6_silu_silu': dict(stem_act_cfg=SILU, act_cfg=SILU),
    'table7_bn_bn': dict(norm_cfg=BN),
    'table7_bn_ln': {},
    'table7_ln_bn': dict(conv_norm_cfg=CHANNEL_LN, norm_cfg=BN),
    'table7_ln_ln': dict(conv_norm_cfg=CHANNEL_LN),
    'table8_full': dict(conv_type='full'),
    'table8_depthwise': dict(conv_type='depthwise'),
    'table8_hybrid': {},
}


def load(name: str) -> Config:
    return Config.fromfile(config_path(name))


@pytest.mark.parametrize('name', CHANGES)
def test_row_differs_from_the_published_model_by_its_change_alone(name):
    cfg, expected = load(f'ablations/{name}').to_dict(), load(XT).to_dict()
    expected['model']['backbone'].update(CHANGES[name])
    shared = cfg.pop('work_dir', None)
    assert cfg == expected
    # rows of one network are trained once
    assert shared == (None if CHANGES[name] else f'work_dirs/{XT}')


@pytest.mark.parametrize(('name', 'published'), [('table5_kernel_3', 2.07), ('table5_kernel_5', 2.10)])
def test_parameters_of_table_5_are_those_of_200_classes(name, published):
    cfg = load(f'ablations/{name}')
    cfg.model.head.num_classes = 200
    assert round(parameters(build_counted(cfg)) / 1e6, 2) == published
