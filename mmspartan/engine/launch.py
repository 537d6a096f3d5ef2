"""What ``tools/train.py`` and ``tools/test.py`` share: their common arguments, and runs on machines without a GPU."""

import argparse
import atexit
import errno
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, DictAction
from mmengine.device import get_device
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from ..errors import InputError
from .config_check import check_config, entry_being_built


def build_parser(description: str) -> argparse.ArgumentParser:
    """The arguments of scripts that build a Runner."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='folder for logs and checkpoints; work_dirs/<config name> by default')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='settings that override the config: key=value, key="[a,b]" or key=a,b for lists',
    )
    parser.set_defaults(launcher='none', local_rank=0)
    return parser


def build_launch_parser(description: str) -> argparse.ArgumentParser:
    """The arguments that OpenMMLab's training and test scripts, which a launcher may start, have in common."""
    parser = build_parser(description)
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='job launcher')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    return parser


def read_config(path: str | Path) -> Config:
    """A config whose sections are of the right kinds, see :func:`~mmspartan.engine.config_check.check_config`."""
    cfg = Config.fromfile(path)
    check_config(cfg, path)
    return cfg


def load_config(args: argparse.Namespace) -> Config:
    """Read the config and merge the common arguments into it."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    if not Path(args.config).is_file():
        raise SystemExit(f'{args.config}: no such config file')
    with one_line_errors(args.config):
        cfg = read_config(args.config)
        cfg.launcher = args.launcher
        if args.cfg_options is not None:
            cfg.merge_from_dict(args.cfg_options)
            check_config(cfg, args.config)
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(args.config).stem)
    for loader in filter(None, (cfg.get(f'{phase}_dataloader') for phase in ('train', 'val', 'test'))):
        if cfg.get('default_scope') == 'mmpretrain':
            # mmpretrain's own scripts set this too: its data preprocessor takes stacked batches
            loader.setdefault('collate_fn', dict(type='default_collate'))
        if loader.get('num_workers') == 0:
            loader.persistent_workers = False
    return cfg


def test_size(cfg: Config, option: str) -> tuple[int, int]:
    """Height and width ``(h, w)`` of the images that the test pipeline makes; ends naming ``option`` if it is open."""
    for transform in reversed(cfg.test_dataloader.dataset.pipeline):
        name = transform.type.rpartition('.')[2]  # it may have a registry's scope
        if name == 'CenterCrop':
            return transform.crop_size, transform.crop_size
        if name == 'Resize':
            width, height = transform.scale
            return height, width
    raise SystemExit(f'{cfg.filename}: its test pipeline has no CenterCrop or Resize; give {option}')


def build_runner(cfg: Config) -> Runner:
    """Build the Runner, ours unless the config has a ``runner_type``; without a GPU, for gloo and full precision.

    Raises:
        InputError: If data of the config's loaders is not there.
    """
    require_data(cfg)
    if get_device() == 'cpu':
        _adapt_to_cpu(cfg)
    cfg.setdefault('runner_type', 'ResumableRunner')
    return RUNNERS.build(cfg)


def _adapt_to_cpu(cfg: Config) -> None:
    optim_wrapper = cfg.get('optim_wrapper') or {}
    if optim_wrapper.get('type') == 'AmpOptimWrapper':
        warnings.warn('no GPU: training in full precision instead of AMP', stacklevel=2)
        optim_wrapper['type'] = 'OptimWrapper'
        for key in ('loss_scale', 'dtype', 'use_fsdp'):
            optim_wrapper.pop(key, None)
    for phase in ('val', 'test'):
        if (cfg.get(f'{phase}_cfg') or {}).get('fp16'):
            warnings.warn(f'no GPU: evaluating in full precision instead of AMP ({phase}_cfg.fp16)', stacklevel=2)
            cfg[f'{phase}_cfg'].fp16 = False
    if cfg.get('sync_bn') is not None:
        warnings.warn('no GPU: batch statistics are not synchronized (sync_bn)', stacklevel=2)
        cfg.sync_bn = None
    if cfg.launcher == 'pytorch':
        # mmengine would call torch.cuda.set_device, and hand a device to DistributedDataParallel; neither once these
        # are set
        torch.distributed.init_process_group('gloo')
        atexit.register(_destroy_process_group)  # its threads may abort a process that ends without
        defaults = dict(
            type='MMDistributedDataParallel',
            broadcast_buffers=False,
            find_unused_parameters=cfg.get('find_unused_parameters', False),
        )
        cfg.model_wrapper_cfg = {**defaults, **cfg.get('model_wrapper_cfg', {}), 'device_ids': None}
    elif cfg.launcher != 'none':
        raise SystemExit(f'--launcher {cfg.launcher} needs GPUs; without them use --launcher pytorch, as dist_train.sh')


def _destroy_process_group() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def require_file(path: str) -> None:
    """End with one line if a local file is not there; addresses are mmengine's to read."""
    if '://' not in path and not Path(path).is_file():
        raise SystemExit(f'{path}: no such file')


def require_data(cfg: Config) -> None:
    """Refuse a config whose annotation files or folders of pictures are not there.

    Raises:
        InputError: Names the path, the setting and, if the config has ``how_to_get_data``, the way to it.
    """
    for phase in ('train', 'val', 'test'):
        for name, dataset in _datasets(cfg.get(f'{phase}_dataloader'), f'{phase}_dataloader'):
            root = dataset.get('data_root') or ''
            prefixes = dataset.get('data_prefix') or {}
            prefixes = prefixes if isinstance(prefixes, dict) else {'': prefixes}
            below = {'ann_file': dataset.get('ann_file')}
            below.update({f'data_prefix.{key}'.rstrip('.'): value for key, value in prefixes.items()})
            paths = {'data_root': root, **{key: os.path.join(root, value) for key, value in below.items() if value}}
            for key, path in paths.items():
                if path and '://' not in path and not Path(path).exists():
                    cure = cfg.get('how_to_get_data') or 'put the data there, or set the path with --cfg-options'
                    raise InputError(f'{path}: not there ({name}.{key}); {cure}')


def _datasets(cfg: Any, name: str) -> Iterator[tuple[str, dict]]:
    """The datasets of a loader's config, those inside of wrappers included."""
    parts = cfg.get('datasets') if isinstance(cfg, dict) else None
    if isinstance(cfg, dict) and 'dataset' in cfg:
        yield from _datasets(cfg['dataset'], f'{name}.dataset')
    elif isinstance(parts, list | tuple):
        for i, part in enumerate(parts):
            yield from _datasets(part, f'{name}.datasets[{i}]')
    elif isinstance(cfg, dict):
        yield name, cfg


# What the operating system says, and what to do about it.
CURES = {
    errno.ENOSPC: 'free some space and go on with --resume',
    errno.EDQUOT: 'free some space and go on with --resume',
    errno.EROFS: 'choose another folder, for instance by --work-dir',
    errno.EACCES: 'choose another folder, for instance by --work-dir',
    errno.ENOTDIR: 'choose another folder, for instance by --work-dir',
}


@contextmanager
def one_line_errors(
    source: str, is_started: Callable[[], bool] = lambda: False, cfg: Config | None = None
) -> Iterator[None]:
    """End with one line where a file, an option or the machine is at fault; errors of code keep their traceback.

    While a run is being built, what goes wrong is a matter of its config, whatever raises it; with
    ``MMSPARTAN_TRACEBACK=1`` in the environment the traceback is shown all the same.

    Args:
        source: What to name if the error names nothing: the config.
        is_started: Whether all is built.
        cfg: What is built: an error of a constructor is reported with the config's entry.
    """

    def stop(number: int, frame: Any = None) -> None:
        when = '' if is_started() else ' before the run began'
        print(f'\n{signal.Signals(number).name}: stopped{when}.', file=sys.stderr)
        sys.exit(128 + number)

    in_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGTERM, stop) if in_main_thread else None
    try:
        yield
    except KeyboardInterrupt:
        stop(signal.SIGINT)
    except InputError as error:
        _show_traceback()
        # that of a data loader's worker comes with its traceback, which ends with the message
        lines = str(error).strip().splitlines() or ['']
        sys.exit(lines[-1].partition('InputError: ')[2] or lines[-1] if len(lines) > 1 else lines[0])
    except OSError as error:
        if error.errno is None:
            raise
        _show_traceback()
        cure = CURES.get(error.errno, '')
        sys.exit(f'{error.filename or source}: {error.strerror}' + (f'; {cure}' if cure else ''))
    except Exception as error:
        if is_started():
            raise
        _show_traceback()
        message = ' '.join(str(error).split())
        kind = '' if isinstance(error, ValueError) else f'{type(error).__name__}: '
        entry = cfg and entry_being_built(error, cfg)
        sys.exit(': '.join(filter(None, (source, entry, f'{kind}{message}'))))
    finally:
        if in_main_thread:
            signal.signal(signal.SIGTERM, handler)


def _show_traceback() -> None:
    if os.environ.get('MMSPARTAN_TRACEBACK'):
        traceback.print_exc()
