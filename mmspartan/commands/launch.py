"""Common code of the tools: configs, and runs on machines with and without a GPU."""

import argparse
import atexit
import errno
import inspect
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmspartan_cli import PACKAGE, config_name, shown

from ..checkpoints.checkpoint import force_weights_only
from ..checks import is_integer
from ..compat import locals_of
from ..configs import type_name
from ..datasets.inner import first_test_dataset, inner_datasets
from ..errors import InputError
from ..runs.schedule import stretch_schedule
from .command import blame
from .config_check import check_config, walk

PHASES = ('train', 'val', 'test')
# Entries that configs may have besides the arguments of a Runner.
FURTHER = {
    *('auto_scale_lr', 'compile', 'cuda_graphs', 'data_preprocessor', 'how_to_get_data', 'max_epochs', 'max_iters'),
    *('find_unused_parameters', 'model_wrapper_cfg', 'sync_bn', 'efficient_conv_bn_eval', 'activation_checkpointing'),
    *('tta_model', 'tta_pipeline', 'runner_type', 'update_optimizer'),
}


def read_config(path: str | Path) -> Config:
    """Read a config and check it by :func:`~mmspartan.commands.config_check.check_config`.

    Raises:
        InputError: If it cannot be read, an entry has a wrong type, or a file that it inherits from has
            ``mmspartan::name`` as its base.
    """
    with blame(str(path)):
        try:
            cfg = Config.fromfile(path)
        except (ValueError, AssertionError) as error:
            reading = next(iter(locals_of(error, Config._get_cfg_path)), {})
            base = reading.get('cfg_path', '')
            if not base.startswith(PACKAGE):
                raise
            raise InputError(
                f"{path}: mmengine reads package::name only of OpenMMLab's packages; write "
                f"_base_ = __import__('mmspartan').config_path({config_name(base)!r}) in {reading['filename']}"
            ) from error
        check_config(cfg, path)
    return cfg


def load_config(args: argparse.Namespace) -> Config:
    """Read the config and merge the common arguments into it; from here on ``torch.load`` reads weights-only."""
    force_weights_only()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = read_config(args.config)
    cfg.launcher = args.launcher
    if args.cfg_options is not None:
        with blame(args.config):
            for name in unknown_entries(cfg, args.cfg_options):
                print(f'--cfg-options {name}: neither {args.config} nor mmengine has this entry; is it read at all?')
            for line in stretch_schedule(cfg, args.cfg_options):
                print(line)
            check_config(cfg, args.config)
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(args.config).stem)
    try:
        str(cfg.work_dir).encode()
    except UnicodeEncodeError:  # after an epoch, when the name of the checkpoint is written
        raise InputError(f'work_dir {shown(str(cfg.work_dir))}: is no text in UTF-8, give another --work-dir') from None
    for loader in filter(None, (cfg.get(f'{phase}_dataloader') for phase in PHASES)):
        if cfg.get('default_scope') == 'mmpretrain':
            # as mmpretrain's scripts do, since its data preprocessor expects stacked batches
            loader.setdefault('collate_fn', dict(type='default_collate'))
        if loader.get('num_workers') == 0:
            loader.persistent_workers = False
    return cfg


def unknown_entries(cfg: Config, options: Mapping[str, Any]) -> list[str]:
    """Return the names of settings that are below no entry of a config, and that mmengine does not read."""
    known = {*cfg.keys(), *inspect.signature(Runner.__init__).parameters, *FURTHER}
    return [name for name in options if name.split('.')[0] not in known]


# Arguments of transforms that determine the size of an image: width and height, or the side of a square.
SIZES = dict(CenterCrop='crop_size', Pad='size', Resize='scale', TopdownAffine='input_size')  # the last of MMPose


def size_of_test_images(cfg: Config, option: str) -> tuple[int, int]:
    """Return the height and width of the images that the test pipeline produces, in pixels.

    Raises InputError, which names the command line's ``option`` for it, if the pipeline does not determine the size.
    """
    for transform in reversed(first_test_dataset(cfg).get('pipeline') or []):
        key = SIZES.get(type_name(transform.type))
        size = transform.get(key)
        if size:
            sides: list[Any] = [size] * 2 if isinstance(size, int | float) else [*size]
            if len(sides) != 2 or not all(map(is_integer, sides)):
                raise InputError(f'{cfg.filename}: {key} of its test pipeline is {size!r}, not a width and a height')
            return sides[1], sides[0]
    raise InputError(f'{cfg.filename}: its test pipeline has none of {", ".join(SIZES)} with a size; give {option}')


def build_runner(cfg: Config, phases: Sequence[str] = PHASES) -> Runner:
    """Build a ``ResumableRunner``, or the config's ``runner_type``; without a GPU use gloo and full precision.

    Raises InputError if a data set of one of the phases does not exist.
    """
    require_data(cfg, phases)
    if get_device() == 'cpu':
        _adapt_to_cpu(cfg, phases)
    cfg.setdefault('runner_type', 'ResumableRunner')
    return RUNNERS.build(cfg)


# Advice for errors of the operating system in a run.
ADVICE = {
    errno.ENOSPC: 'free some space and go on with --resume',
    errno.EDQUOT: 'free some space and go on with --resume',
    errno.EROFS: 'choose another folder, for instance by --work-dir',
    errno.EACCES: 'choose another folder, for instance by --work-dir',
    errno.ENOTDIR: 'choose another folder, for instance by --work-dir',
}


@contextmanager
def a_run(cfg: Config, phases: Sequence[str] = PHASES) -> Iterator[Runner]:
    """Build a runner for the block that runs it; until the run has started, the config causes all errors.

    Raises:
        InputError: The message names the config and the entry, or what else the user can correct.
    """
    runner: Runner | None = None
    with blame(
        cfg.filename or 'the config', cfg, lambda: getattr(runner, 'started', runner is not None), advice=ADVICE
    ):
        runner = build_runner(cfg, phases)
        yield runner


def _adapt_to_cpu(cfg: Config, phases: Sequence[str]) -> None:
    optim_wrapper = cfg.get('optim_wrapper') or {}
    if optim_wrapper.get('type') == 'AmpOptimWrapper':
        if 'train' in phases:
            warnings.warn('no GPU: training in full precision instead of AMP', stacklevel=2)
        optim_wrapper['type'] = 'OptimWrapper'
        for key in ('loss_scale', 'dtype', 'use_fsdp'):
            optim_wrapper.pop(key, None)
    for phase in {'val', 'test'}.intersection(phases):
        if (cfg.get(f'{phase}_cfg') or {}).get('fp16'):
            warnings.warn(f'no GPU: evaluating in full precision instead of AMP ({phase}_cfg.fp16)', stacklevel=2)
            cfg[f'{phase}_cfg'].fp16 = False
    for loader in filter(None, (cfg.get(f'{phase}_dataloader') for phase in phases)):
        loader.pop('pin_memory', None)
        loader.num_workers = min(loader.get('num_workers', 0), os.cpu_count() or 1)
    if cfg.get('sync_bn') is not None:
        if 'train' in phases:
            warnings.warn('no GPU: batch statistics are not synchronized (sync_bn)', stacklevel=2)
        cfg.sync_bn = None
    if cfg.launcher == 'pytorch':
        # with a process group and device_ids=None mmengine neither calls torch.cuda.set_device nor gives a device to
        # DistributedDataParallel
        torch.distributed.init_process_group('gloo')
        atexit.register(_destroy_process_group)  # without it gloo's threads may abort the process at exit
        defaults = dict(
            type='MMDistributedDataParallel',
            broadcast_buffers=False,
            find_unused_parameters=cfg.get('find_unused_parameters', False),
        )
        cfg.model_wrapper_cfg = {**defaults, **cfg.get('model_wrapper_cfg', {}), 'device_ids': None}
    elif cfg.launcher != 'none':
        raise InputError(f'--launcher {cfg.launcher} needs GPUs; without them use --launcher pytorch, as dist_train.sh')


def _destroy_process_group() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def require_data(cfg: Config, phases: Sequence[str] = PHASES) -> None:
    """Check that the annotation files and image folders of these phases of a config exist, those of metrics as well.

    Raises InputError, which names path and setting and repeats the config's ``how_to_get_data``, if one does not.
    """
    needed: dict[str, str] = {}
    for phase in phases:
        for name, dataset in inner_datasets(cfg.get(f'{phase}_dataloader'), f'{phase}_dataloader'):
            root = dataset.get('data_root') or ''
            prefixes = dataset.get('data_prefix') or {}
            prefixes = prefixes if isinstance(prefixes, dict) else {'': prefixes}
            below = {'ann_file': dataset.get('ann_file')}
            below.update({f'data_prefix.{key}'.rstrip('.'): value for key, value in prefixes.items()})
            paths = {'data_root': root, **{key: os.path.join(root, value) for key, value in below.items() if value}}
            needed.update({f'{name}.{key}': path for key, path in paths.items()})
        if phase == 'test' and 'train' in phases:  # a training does not build its metric
            continue
        evaluator = {f'{phase}_evaluator': cfg.get(f'{phase}_evaluator') or {}}
        needed.update({name: str(path) for name, key, path in walk(evaluator) if key == 'ann_file' and path})
    for name, path in needed.items():
        if path and '://' not in path and not Path(path).exists():
            advice = cfg.get('how_to_get_data') or 'put the data there, or set the path with --cfg-options'
            raise InputError(f'{path}: not there ({name}); {advice}')
