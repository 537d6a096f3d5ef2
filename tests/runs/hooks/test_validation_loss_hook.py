"""The loss on the validation set is the model's, and the training does not depend on whether it is computed."""

import torch
from mmengine.registry import init_default_scope

from mmspartan.commands.launch import build_runner
from mmspartan.runs.hooks.validation_loss_hook import with_annotations_first
from tests.runs.conftest import digits_config

HOOK = {'default_hooks.validation_loss': dict(type='ValidationLossHook')}


def test_loss_is_the_mean_over_images_of_the_averaged_weights_and_changes_nothing(train, tmp_path):
    plain, watched = train('plain'), train('watched', **HOOK, **{'val_dataloader.batch_size': 24})
    before, after = (torch.load(folder / 'epoch_2.pth') for folder in (plain, watched))
    for name in ('state_dict', 'ema_state_dict'):
        assert all(torch.equal(value, after[name][key]) for key, value in before[name].items())

    init_default_scope('mmpretrain')
    runner = build_runner(digits_config(tmp_path / 'expected'))
    model = runner.model.eval()
    model.load_state_dict(after['state_dict'])  # the averaged ones
    batches = [model.data_preprocessor(batch, False) for batch in runner.build_dataloader(runner.cfg.val_dataloader)]
    with torch.no_grad():
        logits = torch.cat([model(batch['inputs'], mode='tensor') for batch in batches])
    labels = torch.cat([sample.gt_label for batch in batches for sample in batch['data_samples']])
    expected = torch.nn.functional.cross_entropy(logits, labels)
    found = after['message_hub']['log_scalars']['val/val_loss']['values'][-1]
    torch.testing.assert_close(torch.tensor(float(found)), expected, rtol=1e-5, atol=1e-6)


def test_boxes_are_loaded_before_the_image_is_resized():
    names = ['LoadImageFromFile', 'CheckPicture', 'Resize', 'LoadAnnotations', 'PackDetInputs']
    moved = with_annotations_first([dict(type=f'mmdet.{name}') for name in names])
    order = [one['type'].removeprefix('mmdet.') for one in moved]
    assert order == ['LoadImageFromFile', 'LoadAnnotations', 'CheckPicture', 'Resize', 'PackDetInputs']
