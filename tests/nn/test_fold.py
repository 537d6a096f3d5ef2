"""Folding leaves the model that it reads as it is, and knows mixers by the protocol of ``mmspartan.spartan.mixer``."""

import copy

import pytest
import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.testing import assert_close

from mmspartan.checkpoints.checkpoint import check_weights_fit
from mmspartan.deploy import deploy, fold, rule
from mmspartan.deploy.cmixer import DeployedCMixer
from mmspartan.deploy.rtdetr_rules import has_plain_norms
from mmspartan.deploy.smixer import DeployedSMixer
from mmspartan.nn.conv_norm_act import ConvNormAct
from mmspartan.nn.fold import RULES
from mmspartan.spartan import CMixer, SMixer, SpaRTAN
from tests.conftest import TINY, perturb

X = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def trained(model: nn.Module) -> nn.Module:
    """In double precision and evaluation mode, with no value at its start."""
    torch.manual_seed(0)
    model = model.double().eval()
    perturb(model)
    return model


@torch.no_grad()
def test_a_model_is_deployed_twice_and_stays_as_it_is(build_spartan):
    model = trained(build_spartan())
    before, expected = copy.deepcopy(model.state_dict()), model(X)[0]
    first, second = deploy(model), deploy(model)
    assert torch.equal(first(X)[0], second(X)[0])
    assert_close(first(X)[0], expected, rtol=1e-9, atol=1e-9)
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(model(X)[0], expected)
    model.stages[0][0].smixer.proj_out.weight.zero_()  # which the copies do not share
    assert torch.equal(first(X)[0], second(X)[0])


@pytest.mark.parametrize('kernel_size', [3, 5])
def test_both_branches_of_the_spatial_mixer_are_folded(kernel_size, build_spartan):
    model = deploy(build_spartan(smixer=dict(type='SMixer', kernel_size=kernel_size)).eval())
    mixers = [module for module in model.modules() if isinstance(module, DeployedSMixer)]
    assert len(mixers) == 6
    for mixer in mixers:
        low = mixer.low_conv[1] if kernel_size == 3 else mixer.low_conv
        for branch in (mixer.high_conv, low):
            assert [name for name, _ in branch.named_children()] == ['conv', 'act'] and branch.conv.bias is not None


def test_a_part_that_stands_in_two_places_is_folded_once():
    conv = ConvNormAct(nn.Conv2d(4, 4, 3, bias=False), dict(type='BN'), None)
    folded = fold(nn.ModuleDict(dict(first=conv, second=nn.Sequential(conv))).eval())
    assert folded['first'] is folded['second'][0] and not hasattr(folded['first'], 'norm')
    assert hasattr(conv, 'norm')


def test_a_rule_is_not_that_of_subclasses():
    class Doubled(ConvNormAct):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(2 * x)

    module = Doubled(nn.Conv2d(4, 4, 3, bias=False), dict(type='BN'), None).eval()
    assert fold(module) is module


class MySpaRTAN(SpaRTAN):
    """A subclass that inherits ``switch_to_deploy``."""


def test_a_subclass_that_inherits_switch_to_deploy_is_folded():
    model = MySpaRTAN(TINY)
    model.eval().switch_to_deploy()
    assert model.is_deployed and type(model) is MySpaRTAN
    with pytest.raises(ValueError, match='MySpaRTAN: deploy must be False in training'):
        model.train()(X.float())


@torch.no_grad()
def test_the_affine_part_of_a_norm_stays_before_a_subclass_of_the_mixer(build_spartan):
    class Residual(SMixer):
        takes_scale = False

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + x

    model = build_spartan()
    for stage in model.stages:
        for block in stage:
            block.smixer.__class__ = Residual
    model = trained(model)
    assert_close(deploy(model)(X)[0], model(X)[0], rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_backbones_whose_norms_do_more_are_not_fused():
    class NormAct(nn.BatchNorm2d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).relu()

    plain, other = (nn.Sequential(nn.Conv2d(3, 4, 3), kind(4)).eval() for kind in (nn.BatchNorm2d, NormAct))
    assert has_plain_norms(plain) and not has_plain_norms(other)


@torch.no_grad()
def test_convolutions_without_bias_and_norm_are_folded(build_spartan):
    model = trained(build_spartan(conv_norm_cfg=None))
    assert_close(deploy(model)(X)[0], model(X)[0], rtol=1e-9, atol=1e-9)


def test_computed_weights_are_refused(build_spartan):
    model = build_spartan().eval()
    prune.l1_unstructured(model.stages[0][0].smixer.proj_out, 'weight', 0.5)
    with pytest.raises(ValueError, match=r'stages\.0\.0\.smixer\.proj_out: its weight is computed'):
        deploy(model)
    prune.remove(model.stages[0][0].smixer.proj_out, 'weight')
    deploy(model)


@torch.no_grad()
def test_a_compiled_model_is_deployed_without_its_wrapper(build_spartan):
    model = build_spartan().eval()
    assert not isinstance(deploy(torch.compile(model)), torch._dynamo.OptimizedModule)


def test_parts_in_training_mode_are_refused(build_spartan):
    model = build_spartan().eval()
    model.stages[0].train()
    with pytest.raises(RuntimeError, match=r'SpaRTAN.*call eval\(\) first'):
        deploy(model)


@MODELS.register_module()
class PoolSMixer(nn.Module):
    """A spatial mixer that knows nothing but the protocol."""

    def __init__(self, channels: int, depthwise: bool, norm_cfg: dict, act_cfg: dict, size: int = 3):
        super().__init__()
        self.conv = ConvNormAct(nn.Conv2d(channels, channels, 1, bias=False), norm_cfg, act_cfg)
        self.pool = nn.AvgPool2d(size, 1, size // 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.conv(x))


@MODELS.register_module()
class ProjectedCMixer(nn.Module):
    """A channel mixer that takes LayerScale into its last projection."""

    takes_scale = True

    def __init__(self, channels: int, expand_ratio: int, groups: int, norm_cfg: dict, act_cfg: dict):
        super().__init__()
        hidden = channels * expand_ratio
        self.conv = ConvNormAct(nn.Conv2d(channels, hidden, 1, bias=False), norm_cfg, act_cfg)
        self.proj_out = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        x = self.proj_out(self.conv(x))
        return x if scale is None else scale * x


def test_mixers_of_ones_own_train_and_fold(build_spartan):
    model = build_spartan(
        smixer=dict(type='PoolSMixer', size=5), cmixer=dict(type='ProjectedCMixer'), drop_path_rate=0.2
    )
    model(X.float())[0].square().mean().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    model = trained(model)
    expected = model(X)[0]
    folded = deploy(model)
    assert_close(folded(X)[0], expected, rtol=1e-9, atol=1e-9)
    block = folded.stages[1][0]
    assert block.scale1 is not None and block.scale2 is None  # the second is part of proj_out
    assert not hasattr(block.smixer.conv, 'norm')

    @rule(PoolSMixer)
    def fold_pool(mixer: PoolSMixer) -> nn.Module:
        return nn.Sequential(mixer.conv, mixer.pool)

    try:
        folded = deploy(model)
    finally:
        del RULES[PoolSMixer]
    assert type(folded.stages[1][0].smixer) is nn.Sequential
    assert_close(folded(X)[0], expected, rtol=1e-9, atol=1e-9)


def test_checkpoints_with_former_names_are_read(build_spartan):
    model = build_spartan(deploy=True)
    assert any(isinstance(module, DeployedCMixer) for module in model.modules())
    assert not any(isinstance(module, CMixer) for module in model.modules())
    names = {'.channel_index': '.place', '.to_same.': '.own.', '.to_partner.': '.other.'}
    former = {}
    for key, value in model.state_dict().items():
        for name, before in names.items():
            key = key.replace(name, before)
        former[key] = value + 1 if value.is_floating_point() else value
    assert former.keys() != model.state_dict().keys()
    check_weights_fit(model, former, 'former.pth')
    model.load_state_dict(former, strict=True)
    assert_close(model.stages[0][0].cmixer.to_same[0].weight, former['stages.0.0.cmixer.own.0.weight'])
