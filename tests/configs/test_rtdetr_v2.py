"""The configs of RT-DETRv2 are the networks of RT-DETR and the recipes of the authors' configs."""

import pytest
from mmengine.registry import HOOKS

from mmspartan.runs.schedule import stretch_schedule
from tests.configs.rates import assert_rates
from tests.configs.test_rtdetr import load

# epochs, last of them without strong augmentation, rate of the backbone, whether biases outside of it decay
RECIPES = {
    'r18vd': (120, 3, 1e-4, True),
    'r34vd': (120, 3, 5e-5, False),
    'r50vd': (72, 1, 1e-5, True),
    'r50vd_m': (84, 3, 1e-5, True),
    'r101vd': (72, 1, 1e-6, True),
    'r18vd_dsp': (36, 3, 1e-4, True),
    'r34vd_dsp': (12, 2, 5e-5, False),
    'r50vd_dsp': (12, 2, 1e-5, True),
    'r50vd_m_dsp': (36, 3, 1e-5, True),
}
STRONG = ('PhotoMetricDistortion', 'Expand')  # the second with the crop behind it


@pytest.mark.parametrize('name', RECIPES)
def test_network_is_that_of_rt_detr_but_for_sampling_and_initial_weights(name):
    expected, found = load(f'rtdetr_{name.removesuffix("_dsp")}_coco').model, load(f'rtdetrv2_{name}_coco').model
    augments = found.data_preprocessor.pop('batch_augments')
    multi_scale = expected.data_preprocessor.pop('batch_augments')
    assert augments == (None if 'r18vd' in name else multi_scale)
    method = found.decoder.layer_cfg.cross_attn_cfg.pop('method', 'default')
    assert method == ('discrete' if name.endswith('_dsp') else 'default')
    assert found.pop('xavier_init')
    assert found == expected


@pytest.mark.parametrize('name', RECIPES)
def test_last_epochs_have_no_strong_augmentation(name):
    cfg = load(f'rtdetrv2_{name}_coco')
    epochs, final, *_ = RECIPES[name]
    assert cfg.train_cfg.max_epochs == epochs
    assert [hook.type for hook in cfg.custom_hooks] == ['EMAHook', 'NumClassCheckHook', 'FinalStageHook']
    stage = cfg.custom_hooks[-1]
    assert HOOKS.build(dict(stage)).final_epochs == final
    plain = [step for step in cfg.train_pipeline if step.get('transforms', [step])[0].type not in STRONG]
    assert len(plain) == len(cfg.train_pipeline) - 2 and stage.pipeline == plain
    assert cfg.train_dataloader.dataset.pipeline == cfg.train_pipeline
    stretch_schedule(cfg, dict(max_epochs=2 * epochs))
    assert cfg.custom_hooks[-1].final_epochs == 2 * final


@pytest.mark.parametrize('name', [name for name in RECIPES if 'r18vd' in name or not name.endswith('_dsp')])
def test_learning_rate_and_decay_of_each_kind_of_parameter(name):
    _, _, backbone, biases_decay = RECIPES[name]
    assert_rates(load(f'rtdetrv2_{name}_coco'), 1e-4, backbone, biases_decay=biases_decay, norms='without decay')
