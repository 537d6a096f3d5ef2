"""mmengine's Runner with trainings that can be killed at any time and resumed with the same result."""

import logging
import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import EMAHook, Hook
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmengine.registry import FUNCTIONS, RUNNERS
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmengine.visualization import Visualizer
from torch.utils.data import DataLoader

from ..checkpoints.checkpoint import (
    check_weights_fit,
    check_weights_sound,
    names_of_weights,
    read_checkpoint,
    state_dict_of,
    weights_only,
    without_other_shapes,
    without_wrappers,
)
from ..checkpoints.class_names import (
    check_class_names,
    check_num_classes,
    check_same_labels,
    classes_of,
    classes_of_dataset,
    with_known_classes,
)
from ..checkpoints.plain_state import from_plain_history
from ..checkpoints.pretrained import check_pretrained, pretrained_settings, pretrained_weights_only
from ..checkpoints.resume_state import check_optimizer_fits, check_resumable, restored_schedulers, warn_of_other_length
from ..checkpoints.run_state import RunState
from ..compat import load_checkpoint_to_model, without_formatting
from ..configs import SCHEME, name_in_mmengine
from ..errors import InputError
from .accumulation import scaled_for_accumulation
from .cuda_graphs import use_cuda_graphs
from .evaluation_data import check_evaluation_data
from .hooks.stop_hook import EvaluationStopped, StopOnSignalHook
from .optimizer_settings import OPTION, advance, changed_settings, take_settings
from .regional_compile import compile_regions, reason_against
from .schedule import without_too_short
from .screen import ScreenFilter, filter_screen
from .work_dir import WorkDirLock, latest_checkpoint, remove_partial_files
from .workers import keep_workers_alive

# Added to mmengine's default hooks; `default_hooks = dict(finite=None)` in a config removes one.
DEFAULT_HOOKS = dict(
    accumulated_gradients=dict(type='AccumulatedGradientsHook'),
    broadcast_buffers=dict(type='BroadcastBuffersHook'),
    finite=dict(type='FiniteHook'),
    log_history=dict(type='LogHistoryHook'),
    stop_on_signal=dict(type='StopOnSignalHook'),
    slow_step=dict(type='SlowStepHook'),
    missing_evaluation=dict(type='MissingEvaluationHook'),
    checkpoint=dict(type='SafeCheckpointHook', interval=1),
)

# mmengine's own, the only ones that its method accepts None for.
THEIRS = ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')


@RUNNERS.register_module()
class ResumableRunner(Runner):
    """mmengine's ``Runner``, which takes the same arguments; ``runner_type = 'ResumableRunner'`` in a config.

    * Random numbers depend only on the position in the training, and a resumed run continues within the epoch
      (:mod:`~mmspartan.runs.loops`). It ends with the same weights as an uninterrupted run.
    * Checkpoints hold tensors and plain containers, and are read weights-only, as are those of a stock mmengine.
    * Only one training can run in a work dir.
    * On GPUs trainings compile blocks that repeat (:mod:`~mmspartan.runs.regional_compile`), and :meth:`test` lets
      detectors of this package run as CUDA graphs (:mod:`~mmspartan.runs.cuda_graphs`).
    * Checkpoints, datasets and evaluators that do not match each other raise an error before the run starts.
    """

    optim_wrapper: Any
    _load_from: str | None
    _resume: bool
    screen: ScreenFilter
    started = False  # whether the run is built and its checkpoint loaded
    _training = False
    _resuming = False
    _resumed_info: Mapping[str, Any] = {}

    def __init__(self, *args: Any, cfg: Any = None, **kwargs: Any):
        if isinstance(cfg, Config):
            cfg = without_formatting(cfg)
        super().__init__(*args, cfg=cfg, **kwargs)

    @property
    def _stop_hooks(self) -> list[StopOnSignalHook]:
        return [hook for hook in self.hooks if isinstance(hook, StopOnSignalHook)]

    def train(self) -> torch.nn.Module:
        stop = self._stop_hooks
        for hook in stop:
            hook.install(self)
        self._training = True
        self.screen.has_tables = False
        self.beginning = ExitStack()  # is closed by the first step
        lock = None
        if is_main_process():
            lock = WorkDirLock(self.work_dir)
            for name in remove_partial_files(self.work_dir):
                self.logger.info(f'{name}: removed, a killed run was writing it')
        try:
            with self.beginning:
                return super().train()
        except EvaluationStopped:
            stop[0].evaluation_stopped()
            raise
        finally:
            for hook in stop:
                hook.restore()
            if lock is not None:
                lock.release()

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        logger = super().build_logger(*args, **kwargs)
        self.screen = filter_screen(logger)
        if is_main_process():
            logger.info(f'The log with all details: {logger.log_file}')
        return logger

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        if fn_name == 'after_val_epoch':  # hooks exchange weights, which no signal may cut in two
            for hook in self._stop_hooks:
                hook.evaluating = False
        super().call_hook(fn_name, **kwargs)

    def build_visualizer(self, visualizer: Any = None) -> Visualizer:
        """Build one for this run: by the name in the config mmengine returns that of an earlier run of the process."""
        if isinstance(visualizer, dict):
            visualizer = {**visualizer, 'name': self._experiment_name}
        return super().build_visualizer(visualizer)

    @staticmethod
    def build_dataloader(dataloader: Any, *args: Any, **kwargs: Any) -> DataLoader:
        collate = dataloader.get('collate_fn') if isinstance(dataloader, dict) else None
        if isinstance(collate, dict):
            name = collate.get('type')
            if not (callable(name) or (name and FUNCTIONS.get(name))):  # mmengine would call None
                raise InputError(f'collate_fn.type of a data loader: {name!r} is no registered function')
        loader = Runner.build_dataloader(dataloader, *args, **kwargs)
        return keep_workers_alive(loader) if isinstance(dataloader, dict) else loader

    def dump_config(self) -> None:
        """Write the config to the work dir, but not over the file that it was read from."""
        source = Path(self.cfg.filename or '')
        target = Path(self.work_dir, source.name)
        if not (source.is_file() and target.exists() and target.samefile(source)):
            super().dump_config()

    def test(self) -> dict:
        use_cuda_graphs(self.model, self.cfg)
        return super().test()

    def _maybe_compile(self, target: str) -> None:
        """Compile the training: regions on GPUs, unless ``compile`` is set.

        ``compile = dict(regions=True)`` compiles regions on a CPU, too, and may have arguments of ``torch.compile``;
        ``False`` compiles nothing; ``True`` or another dict the whole step, as mmengine does.
        """
        setting, on_gpu = self.cfg.get('compile'), torch.cuda.is_available()
        options = dict(setting) if isinstance(setting, Mapping) else {}
        if setting is not None and not options.pop('regions', False):
            super()._maybe_compile(target)
        elif target == 'train_step' and (setting is not None or on_gpu):
            reason = reason_against() if on_gpu else ''
            if reason:
                self.logger.warning(f'The training is not compiled: {reason}')
                return
            if setting is None:  # what the compiler cannot do remains eager, with its warning
                torch._dynamo.config.suppress_errors = True
            found = compile_regions(self.model, **options)
            if found:
                listed = ', '.join(f'{count} {name}' for name, count in found.items())
                self.logger.info(f'Compiled in the first iterations, which take longer: {listed}; compile=False: eager')

    def load_or_resume(self) -> None:
        if self._resume and str(self._load_from or SCHEME).startswith(SCHEME):  # no checkpoint of a run
            latest = latest_checkpoint(self.work_dir)  # mmengine follows a path that may be in another folder
            self._resume = bool(latest) or self._load_from is None
            self._load_from = latest or self._load_from
        super().load_or_resume()
        self.started = True

    def register_default_hooks(self, hooks: dict[str, Hook | dict] | None = None) -> None:
        hooks = dict(hooks or {})
        removed = {name for name, hook in hooks.items() if hook is None}
        hooks = {**{name: hook for name, hook in DEFAULT_HOOKS.items() if name not in removed}, **hooks}
        checkpoint = hooks.get('checkpoint')
        if isinstance(checkpoint, dict) and name_in_mmengine(checkpoint.get('type')) == 'CheckpointHook':
            hooks['checkpoint'] = {**checkpoint, 'type': 'SafeCheckpointHook'}
        super().register_default_hooks({name: hook for name, hook in hooks.items() if hook or name in THEIRS})

    def build_train_loop(self, loop: Any) -> Any:
        if isinstance(loop, dict):
            loop = dict(loop)
            kinds = {True: 'ResumableEpochBasedTrainLoop', False: 'ResumableIterBasedTrainLoop'}
            stock = {'EpochBasedTrainLoop': kinds[True], 'IterBasedTrainLoop': kinds[False]}
            if loop.keys().isdisjoint(('by_epoch', 'type')):
                raise InputError('train_cfg: has neither by_epoch nor type', entry='train_cfg')
            if 'by_epoch' in loop:
                loop['type'] = kinds[loop.pop('by_epoch')]
            else:
                loop['type'] = stock.get(name_in_mmengine(loop['type']), loop['type'])
        loop = super().build_train_loop(loop)
        model = without_wrappers(self.model)
        check_num_classes(model, loop.dataloader.dataset)
        return loop

    def build_val_loop(self, loop: Any) -> Any:
        loop = super().build_val_loop(loop)
        check_evaluation_data(loop.dataloader.dataset, self.cfg, 'val')
        if self._train_loop is not None and not isinstance(self._train_loop, dict):
            found, expected = (classes_of_dataset(each.dataloader.dataset) for each in (loop, self._train_loop))
            check_same_labels(found, 'val_dataloader.dataset', expected, 'train_dataloader.dataset')
        return loop

    def build_test_loop(self, loop: Any) -> Any:
        loop = super().build_test_loop(loop)
        check_evaluation_data(loop.dataloader.dataset, self.cfg, 'test')
        return loop

    def build_param_scheduler(self, scheduler: Any) -> Any:
        return super().build_param_scheduler(without_too_short(scheduler, len(self.train_dataloader)))

    def scale_lr(self, optim_wrapper: OptimWrapper, auto_scale_lr: dict | None = None) -> None:
        before = optim_wrapper.param_groups[0]['lr'] if isinstance(optim_wrapper, OptimWrapper) else 0.0
        super().scale_lr(optim_wrapper, scaled_for_accumulation(auto_scale_lr, optim_wrapper))
        if before and optim_wrapper.base_param_settings:  # of the log's base_lr, which mmengine does not scale
            optim_wrapper.base_param_settings['lr'] *= optim_wrapper.param_groups[0]['lr'] / before

    def load_checkpoint(
        self,
        filename: str,
        map_location: str | Callable = 'cpu',
        strict: bool = False,
        revise_keys: list = [(r'^module.', '')],
    ) -> dict[str, Any]:
        """Load a checkpoint as mmengine does, without executing code from the file.

        Raises:
            InputError: If the file cannot be read, its weights are not finite, or its classes are the dataset's in
                another order. The message names the file.
        """
        checkpoint = read_checkpoint(filename, map_location)
        self._check_checkpoint(checkpoint, filename)
        # a bare state dict, and one of DistributedDataParallel, as the hooks expect weights
        entries = checkpoint if 'state_dict' in checkpoint else {}
        checkpoint = {**entries, 'state_dict': state_dict_of(checkpoint, filename)}
        if self._resuming:
            self._prepare_resume(checkpoint, filename)
        elif self._training:
            classes, weights = classes_of(checkpoint), checkpoint['state_dict']
            weights, known = with_known_classes(self.model, weights, classes, self._dataset_classes()[0])
            if known:
                listed = ', '.join(known[:10]) + (', ...' if len(known) > 10 else '')
                self.logger.info(f'{filename}: {len(known)} classes keep their weights, others start anew: {listed}')
            checkpoint['state_dict'], others = without_other_shapes(self.model, weights)
            if others:
                first = '; '.join(others[:3]) + ('; ...' if len(others) > 3 else '')
                self.logger.log(
                    logging.INFO if str(filename).startswith(SCHEME) else logging.WARNING,
                    f'{filename}: all weights are loaded but {len(others)} of another shape, as those of other '
                    f'classes: {first}. They start anew.',
                )
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        model = without_wrappers(self.model)
        checkpoint = load_checkpoint_to_model(model, checkpoint, strict, revise_keys=revise_keys)
        self._has_loaded = True
        self.logger.info(f'Load checkpoint from {filename}')
        return checkpoint

    def _check_checkpoint(self, checkpoint: dict, filename: str) -> None:
        is_evaluation = not self._training
        if is_evaluation:
            check_weights_fit(self.model, checkpoint, filename)
        names, weights = names_of_weights(self.model), state_dict_of(checkpoint, filename)
        check_weights_sound({key: value for key, value in weights.items() if key in names}, filename, names)
        check_class_names(classes_of(checkpoint), filename, *self._dataset_classes(), same_number=is_evaluation)

    def _dataset_classes(self) -> tuple[list[str], str]:
        """Return the class names of the first dataset that is built, and the name of that dataset in the config."""
        for phase in ('train', 'val', 'test'):
            loop = getattr(self, f'_{phase}_loop')
            names = classes_of_dataset(getattr(getattr(loop, 'dataloader', None), 'dataset', None))
            if names:
                return names, f'{phase}_dataloader.dataset'
        return [], ''

    def resume(
        self,
        filename: str,
        resume_optimizer: bool = True,
        resume_param_scheduler: bool = True,
        map_location: str | Callable = 'default',
    ) -> None:
        """Resume as mmengine does, after a check that the checkpoint is complete and matches this run.

        Raises:
            InputError: If it does not. The message names the file and the entry.
        """
        self._resuming = True
        try:
            super().resume(filename, resume_optimizer, resume_param_scheduler, map_location)
            if hasattr(self.train_loop, 'on_resume'):  # other loops do not have it
                self.train_loop.on_resume(RunState.of(self._resumed_info))
            if self.cfg.get('update_optimizer'):
                advance(self.param_schedulers, self.iter, len(self.train_dataloader))
            self._warn_of_the_end(filename)
        except InputError as error:
            raise InputError(str(error) if str(error).startswith(str(filename)) else f'{filename}: {error}') from None
        except Exception as error:  # loading a wrong state raises errors of any type
            raise InputError(f'{filename}: cannot be resumed from: {type(error).__name__}: {error}') from error
        finally:
            self._resuming = False

    def _warn_of_the_end(self, filename: str) -> None:
        unit = 'epochs' if isinstance(self.train_loop, EpochBasedTrainLoop) else 'iters'
        done, length = getattr(self, unit.removesuffix('s')), getattr(self.train_loop, f'max_{unit}', math.inf)
        if done >= length:
            self.logger.warning(
                f'{filename}: the training has ended after {done} {unit}, and nothing is left to do; to train longer: '
                f'{OPTION} --cfg-options max_{unit}=N'
            )

    def _prepare_resume(self, checkpoint: dict, filename: str) -> None:
        """Check the state that mmengine will restore, and convert plain containers to the types that it expects."""
        check_resumable(checkpoint)
        checkpoint['meta'].pop('config', None)  # mmengine would execute this text as a config
        check_weights_fit(self.model, checkpoint, filename)
        averaging = [hook for hook in self.hooks if isinstance(hook, EMAHook)]
        if averaging and 'ema_state_dict' not in checkpoint:
            raise InputError(
                f'{filename}: cannot be resumed from: it has no ema_state_dict, and the config has an EMAHook; to '
                'restart the averaging use --cfg-options load_from=... instead of --resume'
            )
        for hook in averaging:
            check_weights_fit(hook.ema_model, checkpoint['ema_state_dict'], f'{filename} (ema_state_dict)')
        self.optim_wrapper = self.build_optim_wrapper(self.optim_wrapper)
        has_one_optimizer, update = isinstance(self.optim_wrapper, OptimWrapper), self.cfg.get('update_optimizer')
        if has_one_optimizer:
            check_optimizer_fits(self.optim_wrapper.optimizer, checkpoint['optimizer'])
        if 'param_schedulers' in checkpoint and not (has_one_optimizer and update):  # which leaves them out
            states = restored_schedulers(self.param_schedulers, checkpoint['param_schedulers'])
            checkpoint['param_schedulers'] = states
        if has_one_optimizer:
            self._compare_settings(checkpoint, filename)
        hub = checkpoint['message_hub']
        hub['log_scalars'] = {key: from_plain_history(value) for key, value in hub['log_scalars'].items()}
        self._resumed_info = hub['runtime_info']
        if not update:
            warn_of_other_length(self._resumed_info, self.train_loop, filename)

    def _compare_settings(self, checkpoint: dict, filename: str) -> None:
        """Name the optimizer's settings that differ from the checkpoint's, and take them if the config says so."""
        update = self.cfg.get('update_optimizer', False)
        changed = changed_settings(self.optim_wrapper.optimizer, self.param_schedulers, checkpoint)
        if update:
            take_settings(self.optim_wrapper.optimizer, checkpoint)
            if self.optim_wrapper.base_param_settings is not None:  # of the log's base_lr
                checkpoint['optimizer']['base_param_settings'] = self.optim_wrapper.base_param_settings
        if changed:
            listed = '; '.join(changed[:8]) + ('; ...' if len(changed) > 8 else '')
            self.logger.warning(
                f'{filename}: the training continues with new settings: {listed}'
                if update
                else f'{filename}: the training continues with its settings, and those of the config have no effect: '
                f'{listed}. To take them, add {OPTION} to --resume.'
            )

    def _init_model_weights(self) -> None:
        model = without_wrappers(self.model)
        for name, module in model.named_modules():
            check_pretrained(module, f'model.{name}'.rstrip('.'))
        starts = pretrained_settings(getattr(model, 'backbone', model))
        if str(self._load_from).startswith(SCHEME) and not all(SCHEME in str(start) for start in starts):
            self.logger.warning(
                f'load_from={self._load_from}, which own_data sets, is loaded after model.backbone.init_cfg and '
                'replaces its weights. To keep them, set load_from=None.'
            )
        if self._resume or self._load_from:
            self.logger.addFilter(_without_random_weights)
        try:
            with pretrained_weights_only(model), weights_only():
                super()._init_model_weights()
        finally:
            self.logger.removeFilter(_without_random_weights)


def _without_random_weights(record: logging.LogRecord) -> bool:
    """Hide the warning of a backbone without pretrained weights where a checkpoint is loaded next."""
    return 'starts from random weights' not in record.getMessage()
