"""The waves are those of the reference, which computes with complex tensors."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS

from mmspartan.analysis.waves import as_complex, position_of, waves, waves_of_mixer
from mmspartan.errors import InputError
from mmspartan.spartan.reference import CMixer as ReferenceCMixer
from tests.conftest import perturb


@pytest.mark.parametrize(('expand_ratio', 'depthwise'), [(4, False), (2, True)])
def test_waves_are_those_of_the_complex_reference(expand_ratio, depthwise):
    torch.manual_seed(0)
    channels = 8
    hidden = channels * expand_ratio
    groups = channels if depthwise else hidden
    config = dict(type='CMixer', channels=channels, expand_ratio=expand_ratio, groups=groups)
    mixer = MODELS.build(dict(**config, norm_cfg=dict(type='BN'), act_cfg=dict(type='GELU'))).double().eval()
    perturb(mixer)
    reference = ReferenceCMixer(channels, expand_ratio, depthwise).double().eval()
    weight, bias = mixer.wave.weight.chunk(2), mixer.wave.bias.chunk(2)
    complex_weight = mixer.conv.conv.complex_weight
    with torch.no_grad():
        for conv, half in ((reference.proj, 0), (reference.theta, 1)):
            conv.weight.copy_(weight[half])
            conv.bias.copy_(bias[half])
        reference.complex.copy_(complex_weight.view_as(reference.complex))
    x = torch.randn(1, channels, 5, 6, dtype=torch.float64)
    convolved = []  # what the reference convolves are the modulated waves
    reference.conv.register_forward_pre_hook(lambda module, inputs: convolved.append(inputs[0][0]))
    with torch.no_grad():
        reference(x)
        plain = reference.proj(x) * reference.act(reference.theta(x))

    steps = waves_of_mixer(mixer, x)

    assert {name: values.shape for name, values in steps.items()} == dict.fromkeys(
        ('wave', 'superposed', 'modulated'), (hidden // 2, 5, 6)
    )
    factors = torch.view_as_complex(complex_weight.detach()).view(-1, 1, 1)
    torch.testing.assert_close(steps['wave'], torch.complex(plain[0, 0::2], plain[0, 1::2]))
    torch.testing.assert_close(steps['modulated'], as_complex(convolved[0]))
    torch.testing.assert_close(steps['superposed'], as_complex(convolved[0]) / factors)


def test_superposition_moves_all_waves_of_a_position_alike_along_the_diagonal():
    torch.manual_seed(0)
    config = dict(type='CMixer', channels=8, expand_ratio=2, groups=8, norm_cfg=dict(type='BN'))
    mixer = MODELS.build(dict(**config, act_cfg=dict(type='GELU'))).double().eval()
    steps = waves_of_mixer(mixer, torch.randn(1, 8, 3, 4, dtype=torch.float64))
    moved = steps['superposed'] - steps['wave']
    torch.testing.assert_close(moved.real, moved.imag)
    torch.testing.assert_close(moved, moved[:1].expand_as(moved))
    assert moved.abs().min() > 0


def test_position_is_that_of_a_pixel_or_of_the_largest_waves():
    wave = torch.zeros(2, 4, 8, dtype=torch.complex64)
    wave[1, 2, 5] = 1j
    image = np.zeros((60, 128, 3), np.uint8)  # padded to 64 rows
    example = SimpleNamespace(image=image, inputs=torch.zeros(1, 3, 64, 128))
    assert position_of(dict(wave=wave), example, None) == (2, 5)
    assert position_of(dict(wave=wave), example, (127, 15)) == (0, 7)
    assert position_of(dict(wave=wave), example, (16, 16)) == (1, 1)


def test_other_mixers_and_backbones_are_named(build_spartan):
    backbone = build_spartan(cmixer=dict(type='MLPCMixer'))
    one = SimpleNamespace(model=SimpleNamespace(backbone=backbone), name='tiny')
    with pytest.raises(InputError, match='tiny: its channel mixers are of type MLPCMixer, not CMixer'):
        waves(one, None, stage=1, block=1)
    one.model.backbone = torch.nn.Identity()
    with pytest.raises(InputError, match='tiny: its backbone is Identity, not SpaRTAN'):
        waves(one, None, stage=1, block=1)
