"""Pruning of the mixers' channels."""

import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn

from mmspartan import config_path, get_model
from mmspartan.deploy.load import load_model
from mmspartan.errors import InputError
from mmspartan.pruning import add_gradients, multiply_adds, prune
from mmspartan.spartan.modulated_conv import ModulatedConv2d
from tests.conftest import ROOT
from tests.docs.scripts import run_here

SETTINGS = dict(
    type='SpaRTAN', arch=dict(channels=(16, 16, 32, 32), depths=(1, 1, 1, 1), expand_ratios=(4, 4, 2, 2)), out_indices=3
)


def build(**options) -> nn.Module:
    torch.manual_seed(0)
    backbone = MODELS.build({**SETTINGS, **options}).eval()
    for value in backbone.parameters():
        nn.init.normal_(value, std=0.2)
    for value in backbone.buffers():
        if value.is_floating_point():
            nn.init.uniform_(value, 0.5, 1.5)
    return backbone


def silence(block: nn.Module) -> None:
    """Set everything to 0 that belongs to a quarter of the channels, here and there, which then change nothing."""
    for mixer in (block.smixer, block.cmixer):
        channels = mixer.proj_out.out_channels
        width = mixer.proj_out.in_channels // (1 if mixer is block.cmixer else 2)
        if mixer is block.cmixer:  # groups of at most four channels, none of the first C
            groups = torch.randperm((width - channels) // 4)[: width // 16]
            gone = (channels + 4 * groups[:, None] + torch.arange(4)).flatten()
        else:
            gone = torch.randperm(width)[: width // 4]
        for name, module in mixer.named_modules():
            for key, value in module.named_parameters(recurse=False):
                if key == 'bias' and (name == 'proj_out' or name.endswith('fc1')):
                    continue
                of_pairs = isinstance(module, ModulatedConv2d) and key == 'complex_weight'
                size, indices = (width // 2, (gone // 2).unique()) if of_pairs else (width, gone)
                for dim in range(min(2, value.dim())):
                    if value.shape[dim] % size == 0:
                        times = torch.arange(value.shape[dim] // size)
                        value.data.index_fill_(dim, (indices + size * times[:, None]).flatten(), 0)


@pytest.mark.parametrize('conv_type', ['hybrid', 'full'])
def test_what_changes_nothing_goes_first(conv_type):
    backbone = build(conv_type=conv_type)
    for blocks in backbone.stages:
        silence(blocks[0])
    whole = copy.deepcopy(backbone)
    arch = prune(backbone, {**SETTINGS, 'conv_type': conv_type}, 0.1, 'magnitude')
    assert arch['cmixer_widths'] != [64, 64, 64, 64]
    pruned = MODELS.build({**SETTINGS, 'conv_type': conv_type, 'arch': arch}).eval()
    pruned.load_state_dict(backbone.state_dict())
    with torch.no_grad():
        for one, other in zip(mixers(whole), mixers(pruned)):
            x = torch.randn(2, one.proj_out.out_channels, 16, 16)
            torch.testing.assert_close(other(x), one(x), rtol=1e-4, atol=1e-5)
        x = torch.randn(2, 3, 64, 64)
        expected = pruned(x)[0]
        pruned.switch_to_deploy()
        torch.testing.assert_close(pruned(x)[0], expected, rtol=1e-4, atol=1e-5)


def mixers(backbone: nn.Module) -> list[nn.Module]:
    return [mixer for (block,) in backbone.stages for mixer in (block.smixer, block.cmixer)]


def test_groups_of_waves_stay_whole():
    """What remains computes as before, if what was removed contributes nothing; here groups have two pairs."""
    settings = {**SETTINGS, 'conv_type': 'depthwise'}
    whole, pruned = build(conv_type='depthwise'), build(conv_type='depthwise')
    arch = prune(pruned, settings, 0.3, 'random')
    for mixer, rest in zip(mixers(whole), mixers(pruned)):
        first = 'wave' if hasattr(mixer, 'wave') else 'proj_in'
        rows = getattr(mixer, first).weight.flatten(1)
        kept = [int((rows == row).all(1).nonzero()) for row in getattr(rest, first).weight.flatten(1)]
        gates = [mixer.se] if first == 'wave' else [mixer.high_se, mixer.low_se]
        width = gates[0].fc1.in_channels
        gone = torch.tensor(sorted(set(range(width)) - set(kept)), dtype=torch.long)
        assert len(gone) or first == 'proj_in'  # the first SMixer has the least width
        mixer.proj_out.weight.data.unflatten(1, (-1, width))[:, :, gone] = 0
        for gate in gates:
            gate.fc1.weight.data[:, gone] = 0
        x = torch.randn(2, mixer.proj_out.out_channels, 16, 16)
        with torch.no_grad():
            torch.testing.assert_close(rest(x), mixer(x), rtol=1e-4, atol=1e-5)
    MODELS.build({**settings, 'arch': arch}).load_state_dict(pruned.state_dict())


@pytest.mark.parametrize('importance', ['taylor', 'magnitude', 'random'])
def test_ratio_is_reached_and_widths_are_multiples_of_four(importance):
    backbone = build()
    backbone(torch.randn(2, 3, 64, 64))[0].square().mean().backward()
    before, channels = multiply_adds(backbone), SETTINGS['arch']['channels']
    arch = prune(backbone, SETTINGS, 0.25, importance)
    assert 0.65 < multiply_adds(backbone) / before <= 0.75
    assert all(width % 4 == 0 for width in arch['smixer_widths'] + arch['cmixer_widths'])
    assert all(width >= c for width, c in zip(arch['cmixer_widths'], channels))
    # what was pruned can be pruned again
    again = prune(backbone, {**SETTINGS, 'arch': arch}, 0.1, importance)
    assert multiply_adds(backbone) / before < 0.7
    MODELS.build({**SETTINGS, 'arch': again}).load_state_dict(backbone.state_dict())


def test_later_stages_that_are_not_built_keep_their_widths():
    backbone = build(out_indices=(0, 1))
    arch = prune(backbone, {**SETTINGS, 'out_indices': (0, 1)}, 0.2, 'magnitude')
    assert arch['smixer_widths'][2:] == [16, 16] and arch['cmixer_widths'][2:] == [64, 64]
    MODELS.build({**SETTINGS, 'out_indices': (0, 1), 'arch': arch}).load_state_dict(backbone.state_dict())


def test_frozen_stages_are_pruned_without_gradients():
    backbone = build(frozen_stages=2)
    prune(backbone, SETTINGS, 0.2, 'magnitude')
    assert not any(p.requires_grad for p in backbone.stages[1].parameters())
    assert all(p.requires_grad for p in backbone.stages[2].parameters())
    with pytest.raises(InputError, match='gradients'):
        prune(build(frozen_stages=2), SETTINGS, 0.2, 'taylor')


def test_what_cannot_be_pruned_is_named():
    with pytest.raises(InputError, match=r'ratio=0\.9: at most 0\.\d+ '):
        prune(build(), SETTINGS, 0.9, 'magnitude')
    with pytest.raises(ValueError, match='ratio'):
        prune(build(), SETTINGS, 1.0, 'magnitude')
    with pytest.raises(InputError, match='folded'):
        prune(build(deploy=True), SETTINGS, 0.2, 'magnitude')
    for smixer in (dict(type='ConvSMixer'), dict(type='SMixer', small_kernel=True)):
        with pytest.raises(InputError, match=smixer['type']):
            prune(build(smixer=smixer), {**SETTINGS, 'smixer': smixer}, 0.2, 'magnitude')


def test_gradients_leave_statistics_and_mode_alone():
    model = get_model('spartan_xt_digits')
    before = {name: value.clone() for name, value in model.named_buffers()}
    batch = dict(inputs=torch.randint(0, 255, (4, 3, 32, 32)), data_samples=[DataSample().set_gt_label(3)] * 4)
    add_gradients(model, [batch] * 3, 2)
    assert not model.training and all(value.equal(before[name]) for name, value in model.named_buffers())
    assert model.backbone.stages[0][0].cmixer.wave.weight.grad.abs().sum() > 0


def test_command_writes_a_config_that_builds_what_remains(tmp_path):
    model = get_model('spartan_xt_digits')
    classes = dict(dataset_meta=dict(classes=list('0123456789')))
    torch.save(dict(state_dict=model.state_dict(), meta=classes), tmp_path / 'weights.pth')
    arguments = ['prune', config_path('spartan_xt_digits'), 'weights.pth', '--out', 'small', '--batches', 2]
    script = ROOT / 'tools' / 'compress.py'
    assert '70% of its multiply-adds' in run_here(script, *arguments, cwd=tmp_path)
    cfg = Config.fromfile(tmp_path / 'small' / 'config.py')
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(2e-4)
    assert "config_path('spartan_xt_digits')" in (tmp_path / 'small' / 'config.py').read_text()
    assert cfg.load_from == str(tmp_path / 'small' / 'pruned.pth') and cfg.work_dir.endswith('small')
    load_model(cfg, cfg.load_from)
    with pytest.raises(AssertionError, match='small: is there already'):
        run_here(script, *arguments, cwd=tmp_path)
