"""The configs of D-FINE have the recipes of the authors' configs; SpaRTAN's are those of the same widths."""

import pytest
from mmengine.registry import HOOKS

from tests.configs.rates import assert_rates, rates_and_decays
from tests.configs.test_rtdetr import load

# epochs, last of them without strong augmentation, images a step, how often 640 is among the sizes, rate, rate of the
# backbone, weight decay, whether biases outside of the backbone decay
RECIPES = {
    'hgnetv2_n': (160, 12, 128, 0, 8e-4, 4e-4, 1e-4, False),
    'hgnetv2_s': (132, 12, 32, 20, 2e-4, 1e-4, 1e-4, False),
    'hgnetv2_m': (132, 12, 32, 6, 2e-4, 2e-5, 1e-4, False),
    'hgnetv2_l': (80, 8, 32, 4, 2.5e-4, 1.25e-5, 1.25e-4, True),
    'hgnetv2_x': (80, 8, 32, 3, 2.5e-4, 2.5e-6, 1.25e-4, True),
    'spartan_xt_n': (160, 12, 128, 0, 8e-4, 4e-4, 1e-4, False),
    'spartan_xt': (132, 12, 32, 20, 2e-4, 1e-4, 1e-4, False),
    'spartan_t': (132, 12, 32, 20, 2e-4, 1e-4, 1e-4, False),
}


@pytest.mark.parametrize('name', RECIPES)
def test_length_stages_and_sizes(name):
    cfg = load(f'dfine_{name}_coco')
    epochs, final, images, times, *_ = RECIPES[name]
    assert cfg.train_cfg.max_epochs == epochs
    assert cfg.auto_scale_lr.base_batch_size == images == 8 * cfg.train_dataloader.batch_size
    assert [hook.type for hook in cfg.custom_hooks] == ['EMAHook', 'NumClassCheckHook', 'FinalStageHook']
    assert HOOKS.build(dict(cfg.custom_hooks[-1])).final_epochs == final
    assert (cfg.custom_hooks[0].momentum, cfg.custom_hooks[0].gamma) == (1e-4, 1000)
    augments = cfg.model.data_preprocessor.batch_augments
    if times:
        (resize,) = augments
        assert resize.interpolation == 'nearest'
        assert sorted(resize.sizes) == sorted([*range(480, 801, 32), *[640] * (times - 1)])
    else:
        assert augments is None


@pytest.mark.parametrize('name', RECIPES)
def test_learning_rate_and_decay_of_each_kind_of_parameter(name):
    cfg = load(f'dfine_{name}_coco')
    *_, rate, backbone, decay, biases_decay = RECIPES[name]
    # the first of the authors' patterns, ^(?=.*backbone)(?!.*norm|bn).*$, matches the backbone's normalizations too
    frozen = assert_rates(cfg, rate, backbone, decay, biases_decay)
    norms = {key for key in rates_and_decays(cfg) if key.startswith('backbone.') and '[norm]' in key}
    assert all(key.startswith('backbone.net.stem.') for key in frozen - norms)
    assert bool(frozen) == biases_decay  # of L and X the stem and all normalizations of the backbone
    assert not frozen or norms <= frozen


@pytest.mark.parametrize(('spartan', 'of'), [('xt_n', 'n'), ('xt', 's'), ('t', 's')])
def test_spartan_has_the_widths_and_the_recipe_of(spartan, of):
    expected, found = load(f'dfine_hgnetv2_{of}_coco'), load(f'dfine_spartan_{spartan}_coco')
    for cfg in (expected, found):
        del cfg.model['backbone'], cfg.model.neck['in_channels']
    assert found.to_dict() == expected.to_dict()
