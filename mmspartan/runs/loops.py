"""mmengine's training loops with reproducible random numbers, which can be resumed in the middle of an epoch."""

import copy
import logging
from itertools import islice
from typing import Any

from mmengine.logging import print_log
from mmengine.registry import DATA_SAMPLERS, LOOPS
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, IterBasedTrainLoop

from ..checkpoints.run_state import RunState
from ..errors import InputError
from .accumulation import accumulated_batches
from .randomness import SeededBatchSampler, seed_from


class _Reproducible(BaseLoop):
    """Seeds batches and iterations by their position in the training (:mod:`~mmspartan.runs.randomness`)."""

    _sampler_cfg: Any = None  # if the loop builds it

    def __init__(self, runner: Any, dataloader: Any, **kwargs):
        if isinstance(dataloader, dict):
            dataloader = copy.deepcopy(dataloader)
            self._sampler_cfg = dataloader.get('sampler')
            dataloader['batch_sampler'] = dict(
                type='SeededBatchSampler',
                seed=runner.seed,
                drop_last=dataloader.pop('drop_last', False),
                batch_sampler=dataloader.get('batch_sampler'),
            )
        super().__init__(runner, dataloader, **kwargs)
        RunState(sampler_seed=getattr(self._sampler, 'seed', None)).note(runner.message_hub)

    @property
    def _sampler(self) -> Any:
        return getattr(self.dataloader.batch_sampler, 'sampler', None)

    def on_resume(self, saved: RunState) -> None:
        """Restore the position of the run that saved the checkpoint, and warn if gradients are missing."""
        self.restore(saved)
        accumulated = accumulated_batches(self.runner.optim_wrapper)
        if self.iter % accumulated and all(value.grad is None for value in self.runner.model.parameters()):
            print_log(
                f'The training goes on between two steps of the optimizer (accumulative_counts={accumulated}); the '
                'gradients since the last one are not in the checkpoint.',
                'current',
                logging.WARNING,
            )

    def restore(self, saved: RunState) -> None:
        """Restore the seeds of the run that saved the checkpoint."""
        if isinstance(self.dataloader.batch_sampler, SeededBatchSampler):
            self.dataloader.batch_sampler.seed = self.runner.seed
        if hasattr(self._sampler, 'seed'):
            self._sampler.seed = self.runner.seed if saved.sampler_seed is None else saved.sampler_seed

    def run_iter(self, *args, **kwargs) -> None:
        seed_from(self.runner.seed, self.runner.rank, self.iter)
        super().run_iter(*args, **kwargs)


@LOOPS.register_module()
class ResumableEpochBasedTrainLoop(_Reproducible, EpochBasedTrainLoop):
    """mmengine's ``EpochBasedTrainLoop``, which takes the same arguments and can be resumed inside an epoch."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._done = 0  # batches of the current epoch that were trained before the run was resumed
        RunState(epoch_length=len(self.dataloader)).note(self.runner.message_hub)

    def restore(self, saved: RunState) -> None:
        """Restore the position in the epoch.

        Raises:
            InputError: If the checkpoint was saved inside an epoch with another number of batches.
        """
        super().restore(saved)
        length = len(self.dataloader)
        # checkpoints of a stock mmengine lack it, and are mostly saved at the end of an epoch
        is_at_end = self.epoch > 0 and self.iter % self.epoch == 0
        before = saved.epoch_length or (self.iter // self.epoch if is_at_end else length)
        epoch, first = saved.epoch_began or (self.epoch, self.epoch * before)
        self._done = self.iter - first if epoch == self.epoch else 0
        RunState(epoch_length=length).note(self.runner.message_hub)
        if before == length and 0 <= self._done <= length:
            return
        if self._done != 0:
            raise InputError(
                f'cannot be resumed from: it was saved after batch {self._done} of {before} of an epoch, which has '
                f'{length} batches now: resume with the data, batch size and number of processes that it had'
            )
        done, self._iter = self.iter, self._epoch * length
        is_evaluated = saved.evaluated_iter == done
        RunState(evaluated_iter=self.iter if is_evaluated else -1).note(self.runner.message_hub)
        print_log(
            f'An epoch had {before} batches when the checkpoint was saved and has {length} now: the training goes on '
            f'at iteration {self.iter} instead of {done}.',
            'current',
            logging.WARNING,
        )

    def evaluation_is_due(self) -> bool:
        """Whether the run evaluates at the end of the epoch that was trained last."""
        self._decide_current_val_interval()
        at_end = self.epoch > 0 and self._done == 0 and self.epoch >= self.val_begin
        return at_end and (self.epoch % self.val_interval == 0 or self.epoch == self.max_epochs)

    def run_epoch(self) -> None:
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        done, self._done = self._done, 0
        RunState(epoch_began=(self.epoch, self.iter - done)).note(self.runner.message_hub)
        batches = self.dataloader
        if isinstance(batches.batch_sampler, SeededBatchSampler):
            batches.batch_sampler.start(self.epoch, done)
        else:  # the user built the data loader
            batches = islice(batches, done, None)
        for i, data_batch in enumerate(batches, done):
            self.run_iter(i, data_batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1


@LOOPS.register_module()
class ResumableIterBasedTrainLoop(_Reproducible, IterBasedTrainLoop):
    """mmengine's ``IterBasedTrainLoop``, which takes the same arguments."""

    dataloader_iterator: Any

    def restore(self, saved: RunState) -> None:
        super().restore(saved)
        # the iterator was created before the seed was restored; with workers it has drawn indices already
        batches = self.dataloader.batch_sampler
        if isinstance(batches, SeededBatchSampler) and isinstance(self._sampler_cfg, dict):
            known = dict(dataset=self.dataloader.dataset, seed=getattr(self._sampler, 'seed', None))
            batches.restart(DATA_SAMPLERS.build(self._sampler_cfg, default_args=known))
        self.dataloader_iterator = type(self.dataloader_iterator)(self.dataloader)

    def evaluation_is_due(self) -> bool:
        """Whether the run evaluates after the iteration that was trained last."""
        self._decide_current_val_interval()
        at_end = self.iter > 0 and self.iter >= self.val_begin
        return at_end and (self.iter % self.val_interval == 0 or self.iter == self.max_iters)
