"""Numbers that are not finite end a training, are no result of an evaluation and never the best."""

from types import SimpleNamespace

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from mmpretrain.structures import DataSample
from torch import nn

from mmspartan.errors import InputError
from mmspartan.runs.hooks.checkpoint_hook import SafeCheckpointHook
from mmspartan.runs.hooks.finite_hook import FiniteHook, NonFiniteError, check_predictions
from mmspartan.runs.work_dir import latest_checkpoint


def test_training_that_diverges_stops_at_the_first_loss_and_keeps_the_last_finite_checkpoint(train, tmp_path):
    diverging = {
        'param_scheduler': [dict(type='MultiStepLR', milestones=[1], gamma=1e30, by_epoch=True)],
        'train_cfg.max_epochs': 3,
    }
    message = (
        r'iteration (9|10|11|12) \(epoch 2\): the loss is not finite: loss = nan\. Learning rate 2e\+27: .*'
        r'The last finite checkpoint is .*epoch_1\.pth'
    )
    with pytest.raises(NonFiniteError, match=message):
        train(**diverging)
    assert sorted(path.name for path in (tmp_path / 'run').glob('*.pth')) == [
        'best_accuracy_top1_epoch_1.pth',
        'epoch_1.pth',
    ]
    assert all(
        value.isfinite().all() for value in torch.load(latest_checkpoint(tmp_path / 'run'))['state_dict'].values()
    )


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    class Masked(nn.Linear):
        def __init__(self):
            super().__init__(2, 1)
            self.register_buffer('mask', torch.tensor([-torch.inf]))  # which is what a mask may be

    runner = SimpleNamespace(model=Masked(), work_dir=tmp_path)
    hook, weights = SafeCheckpointHook(), runner.model.state_dict()
    hook.before_save_checkpoint(runner, dict(state_dict=weights, meta={}, message_hub={}))
    weights['weight'] = torch.full((1, 2), torch.nan)
    for name in ('state_dict', 'ema_state_dict'):
        with pytest.raises(NonFiniteError, match=f'no checkpoint is saved, since {name}: weight holds values that are'):
            hook.before_save_checkpoint(runner, {'state_dict': {}, 'meta': {}, 'message_hub': {}, name: weights})


@pytest.fixture
def runner():
    """As much of a Runner as the hooks look at."""
    hub = SimpleNamespace(log_scalars={}, runtime_info={}, update_info=lambda key, value: None)
    warnings: list[str] = []
    return SimpleNamespace(
        message_hub=hub,
        iter=0,
        epoch=0,
        work_dir='none',
        optim_wrapper=SimpleNamespace(get_lr=lambda: dict(lr=[0.1])),
        logger=SimpleNamespace(warning=warnings.append),
        warnings=warnings,
    )


def test_loss_scaler_may_leave_out_some_steps_in_a_row(runner):
    hook, nan, fine = FiniteHook(max_skipped=2), dict(loss=torch.tensor(torch.nan)), dict(loss=torch.tensor(1.0))
    runner.optim_wrapper.loss_scaler = None
    for outputs in (nan, nan, fine, nan, nan):
        hook.after_train_iter(runner, 0, outputs=outputs)
    assert len(runner.warnings) == 4
    with pytest.raises(NonFiniteError, match='iteration 1'):
        hook.after_train_iter(runner, 0, outputs=nan)


def test_score_that_is_not_finite_is_never_the_best(runner):
    hook = SafeCheckpointHook(save_best='score', rule='greater')
    for score in (float('nan'), float('inf'), torch.tensor(torch.nan)):
        hook.after_val_epoch(runner, dict(score=score, other=1.0))
    assert len(runner.warnings) == 3 and hook.best_ckpt_path is None
    with pytest.raises(InputError, match=r"save_best='score': no such metric; there are other"):
        hook.after_val_epoch(runner, dict(other=1.0))


@pytest.mark.parametrize('broken', ['scores', 'bboxes', 'pred_score'])
def test_predictions_that_are_not_finite_are_refused_with_the_image(broken):
    detection = DetDataSample(metainfo=dict(img_path='a.png'))
    detection.pred_instances = InstanceData(scores=torch.ones(2), bboxes=torch.ones(2, 4), labels=torch.ones(2).long())
    classification = DataSample(metainfo=dict(img_path='a.png')).set_pred_score(torch.ones(3))
    samples = [detection, classification]
    check_predictions(samples, 'Model')
    tensor = classification.pred_score if broken == 'pred_score' else detection.pred_instances[broken]
    tensor[1] = torch.inf
    message = r'Model predicts numbers that are not finite for image a\.png'
    with pytest.raises(NonFiniteError, match=message):
        check_predictions(samples, 'Model')
    with pytest.raises(NonFiniteError, match=message):
        check_predictions([sample.to_dict() | {'img_path': 'a.png'} for sample in samples], 'Model')
