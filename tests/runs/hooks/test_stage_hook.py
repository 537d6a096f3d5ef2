"""Stages of a training: what each epoch trains with, wherever the training begins, and arguments."""

from types import SimpleNamespace

import pytest
from mmdet.datasets import MultiImageMixDataset
from mmengine.logging import MMLogger
from mmengine.registry import HOOKS, MODELS, init_default_scope
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop

from mmspartan.errors import InputError
from tests.conftest import refuses

MULTI_SCALE = dict(type='BatchRandomChoiceResize', sizes=[64, 96])
STAGES = [
    dict(pipeline=[dict(type='RandomFlip', prob=0.1)]),
    dict(pipeline=[dict(type='RandomFlip', prob=0.2)], batch_augments=[dict(type='BatchMixUp')]),
    dict(pipeline=[dict(type='RandomFlip', prob=0.3)]),
    dict(pipeline=[dict(type='RandomFlip', prob=0.4)], batch_augments=[dict(type='BatchMixUp')], multi_scale=False),
    dict(pipeline=[dict(type='RandomFlip', prob=0.5)], multi_scale=False),
]


def augmentation(runner) -> tuple[str, list[str]]:
    """The pipeline, or the probability by which it is known, and the batch augmentations."""
    pipeline = getattr(runner.train_dataloader.dataset, 'pipeline', None)
    name = pipeline if not hasattr(pipeline, 'transforms') else pipeline.transforms[0].prob
    return name, [type(augment).__name__ for augment in runner.model.data_preprocessor.batch_augments or ()]


def settings(epochs, own=(MULTI_SCALE,), dataset=None, look=augmentation, **hook) -> list:
    """What ``look`` sees in each of the epochs, which a training begins with the first."""
    init_default_scope('mmdet')
    preprocessor = MODELS.build(dict(type='DetDataPreprocessor', batch_augments=list(own) or None))
    head = SimpleNamespace(assigner=SimpleNamespace(match_costs=['own']))
    runner = SimpleNamespace(
        model=SimpleNamespace(data_preprocessor=preprocessor, bbox_head=head),
        train_dataloader=SimpleNamespace(dataset=dataset or SimpleNamespace(pipeline='own')),
        logger=MMLogger.get_current_instance(),
        max_epochs=9,
    )
    hook, found = HOOKS.build(hook), []
    for runner.epoch in epochs:
        hook.before_train_epoch(runner)
        found.append(look(runner))
    return found


SCALE, MIX = 'BatchRandomChoiceResize', 'BatchMixUp'
EXPECTED = [
    ('own', [SCALE]),
    (0.1, [SCALE]),
    *[(0.2, [MIX, SCALE])] * 3,
    (0.3, [SCALE]),
    (0.4, [MIX]),
    *[(0.5, [])] * 2,
]


@pytest.mark.parametrize('first', range(9))
def test_stage_depends_on_the_epoch_alone(first):
    found = settings(range(first, 9), type='StageHook', switch_epochs=[1, 2, 5, 6, 7], stages=STAGES)
    assert found == EXPECTED[first:]


def test_no_multi_scale_in_any_stage_if_the_config_has_none():
    found = settings(range(9), own=(), type='StageHook', switch_epochs=[1, 2, 5, 6, 7], stages=STAGES)
    assert found == [(name, [augment for augment in augments if augment == MIX]) for name, augments in EXPECTED]


def test_of_stages_that_begin_together_the_last_runs():
    found = settings(range(3), type='StageHook', switch_epochs=[0, 0, 2, 2, 2], stages=STAGES)
    assert found == [EXPECTED[2], EXPECTED[2], EXPECTED[-1]]


@pytest.mark.parametrize('first', range(4))
def test_matching_costs_of_a_stage(first):
    costs = [dict(type='ScoreIoUCost', power=2.0)]
    stages = [STAGES[0], dict(STAGES[0], match_costs=costs), STAGES[2]]
    powers = settings(range(first, 4), look=powers_of_costs, type='StageHook', switch_epochs=[1, 2, 3], stages=stages)
    assert powers == [['own'], ['own'], [2.0], ['own']][first:]


def powers_of_costs(runner) -> list:
    return [getattr(cost, 'power', cost) for cost in runner.model.bbox_head.assigner.match_costs]


def test_final_stage_is_counted_from_the_end():
    pipeline = STAGES[0]['pipeline']
    found = settings(range(9), type='FinalStageHook', final_epochs=2, pipeline=pipeline)
    assert found == [('own', [SCALE])] * 7 + [(0.1, [])] * 2
    assert settings([0], type='FinalStageHook', final_epochs=20, pipeline=pipeline) == [(0.1, [])]


def test_datasets_within_wrappers_are_switched():
    parts = [SimpleNamespace(pipeline='own') for _ in range(3)]
    wrapped = SimpleNamespace(datasets=[SimpleNamespace(dataset=parts[0]), SimpleNamespace(datasets=parts[1:])])
    settings([0, 1], dataset=wrapped, type='StageHook', switch_epochs=[1, 2, 5, 6, 7], stages=STAGES)
    assert [part.pipeline.transforms[0].prob for part in parts] == [0.1] * 3


@pytest.mark.parametrize(
    ('loop', 'dataset', 'message'),
    [
        (IterBasedTrainLoop, SimpleNamespace(pipeline='own'), 'trains in epochs'),
        (EpochBasedTrainLoop, 3, 'no pipeline'),
        (EpochBasedTrainLoop, MultiImageMixDataset.__new__(MultiImageMixDataset), 'cannot change in stages'),
    ],
)
def test_training_without_epochs_or_pipelines_is_refused(loop, dataset, message):
    hook = HOOKS.build(dict(type='StageHook', switch_epochs=[0], stages=STAGES[:1]))
    runner = SimpleNamespace(train_loop=loop.__new__(loop), train_dataloader=SimpleNamespace(dataset=dataset))
    with pytest.raises(InputError, match=message):
        hook.before_train(runner)


@pytest.mark.parametrize(
    'switch_epochs',
    [3, [0, 1], [0, 3, 2, 4, 5], [-1, 0, 1, 2, 3], [0, 1, 2, 3, 3.5], [0, 0, 0, 0, True], [0, 1, 2, 3, 4, 5]],
)
def test_epochs_that_do_not_fit_the_stages_are_refused(switch_epochs):
    with refuses('StageHook', 'switch_epochs', switch_epochs):
        HOOKS.build(dict(type='StageHook', switch_epochs=switch_epochs, stages=STAGES))


def test_start_of_the_final_stage_is_a_flag():
    with refuses('FinalStageHook', 'from_best', 'best.pth'):
        HOOKS.build(dict(type='FinalStageHook', final_epochs=1, pipeline=[], from_best='best.pth'))


@pytest.mark.parametrize('stage', [3, dict(batch_augments=[]), dict(pipeline=[], multiscale=False)])
def test_stage_without_a_pipeline_or_with_another_key_is_refused(stage):
    with refuses('StageHook', 'stages[1]', stage):
        HOOKS.build(dict(type='StageHook', switch_epochs=[0, 1], stages=[STAGES[0], stage]))
