"""Stop a run at the first loss or prediction that is not finite."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from ...checkpoints.checkpoint import without_wrappers
from ...errors import InputError
from ..work_dir import latest_checkpoint


class NonFiniteError(InputError):
    """A loss, a weight or a prediction is NaN or infinite."""


@HOOKS.register_module()
class FiniteHook(Hook):
    """Stops at the first loss or prediction that is not finite.

    mmdet's ``CheckInvalidLossHook`` checks every 50th loss. This hook reads the losses that ``RuntimeInfoHook`` has
    already copied to the host for the log, so it adds no synchronization with the GPU. The optimizer has used the loss
    by then, so the weights in memory are lost; the checkpoints on the disk are older.

    Args:
        max_skipped (int): Number of losses in a row that may be not finite under AMP with a loss scaler, which skips
            a step when gradients overflow. Defaults to 10.

    Raises:
        NonFiniteError: The message names the iteration and the terms of the loss, or the image.
    """

    priority = 'HIGH'  # after RuntimeInfoHook has logged the values, before any checkpoint is saved

    def __init__(self, max_skipped: int = 10):
        self.max_skipped = max_skipped
        self.skipped = 0

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        terms = {key: self._value(runner, key, value) for key, value in (outputs or {}).items()}
        if math.isfinite(terms.get('loss', 0.0)):
            self.skipped = 0
            return
        wrong = ', '.join(f'{key} = {value}' for key, value in terms.items() if not math.isfinite(value))
        step = f'iteration {runner.iter + 1} (epoch {runner.epoch + 1})'
        self.skipped += 1
        if hasattr(runner.optim_wrapper, 'loss_scaler') and self.skipped <= self.max_skipped:
            runner.logger.warning(f'{step}: {wrong}; the loss scaler skips this step')
            return
        rates = {f'{rate:.2g}' for group in runner.optim_wrapper.get_lr().values() for rate in group}
        kept = latest_checkpoint(runner.work_dir)
        raise NonFiniteError(
            f'{step}: the loss is not finite: {wrong}. Learning rate {", ".join(sorted(rates))}: try a lower one '
            '(optim_wrapper.optimizer.lr), a longer warm-up, or optim_wrapper.clip_grad. '
            + (f'The last finite checkpoint is {kept}' if kept else 'No checkpoint was saved yet')
        )

    def after_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        model = without_wrappers(runner.model)
        check_predictions(outputs or [], type(model).__name__)

    after_test_iter = after_val_iter

    @staticmethod
    def _value(runner: Any, key: str, value: Any) -> float:
        scalars = runner.message_hub.log_scalars
        return float(scalars[f'train/{key}'].current()) if f'train/{key}' in scalars else float(value)


def check_predictions(data_samples: Sequence[Any], source: str) -> None:
    """Check that the predictions in data samples of mmdet or mmpretrain are finite.

    Raises NonFiniteError, which names the model, ``source``, and the image, if one is NaN or infinite.
    """
    tensors = [(sample, tensor) for sample in data_samples for tensor in _predicted(sample)]
    if not tensors or torch.stack([tensor.isfinite().all() for _, tensor in tensors]).all():
        return
    sample = next(sample for sample, tensor in tensors if not tensor.isfinite().all())
    info = sample if isinstance(sample, dict) else sample.metainfo
    name = info.get('img_path') or info.get('img_id', '')
    raise NonFiniteError(
        f'{source} predicts numbers that are not finite for image {name}: its weights are broken, or too large for '
        'the precision that it runs in'
    )


def _predicted(sample: Any) -> Iterator[torch.Tensor]:
    if not hasattr(sample, 'get'):  # predictions of third-party models may have any type
        return
    instances = sample.get('pred_instances')
    for holder, names in ((instances, ('scores', 'bboxes')), (sample, ('pred_score',))):
        for name in names:
            value = None if holder is None else holder.get(name)
            if isinstance(value, torch.Tensor):
                yield value
