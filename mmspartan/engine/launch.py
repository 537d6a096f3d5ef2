"""What ``tools/train.py`` and ``tools/test.py`` share: their common arguments, and runs on machines without a GPU."""

import argparse
import atexit
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.config import Config, DictAction
from mmengine.device import get_device
from mmengine.registry import RUNNERS
from mmengine.runner import Runner, find_latest_checkpoint

from .checkpoint import why_unreadable


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


def load_config(args: argparse.Namespace) -> Config:
    """Read the config and merge the common arguments into it."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    if not Path(args.config).is_file():
        raise SystemExit(f'{args.config}: no such config file')
    cfg = Config.fromfile(args.config)
    cfg.launcher = args.launcher
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
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
        if transform.type == 'CenterCrop':
            return transform.crop_size, transform.crop_size
        if transform.type == 'Resize':
            width, height = transform.scale
            return height, width
    raise SystemExit(f'{cfg.filename}: its test pipeline has no CenterCrop or Resize; give {option}')


def build_runner(cfg: Config) -> Runner:
    """Build the Runner; without a GPU, for processes that talk by gloo and in full precision."""
    if get_device() == 'cpu':
        _adapt_to_cpu(cfg)
    return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)


def _adapt_to_cpu(cfg: Config) -> None:
    optim_wrapper = cfg.get('optim_wrapper') or {}
    if optim_wrapper.get('type') == 'AmpOptimWrapper':
        warnings.warn('no GPU: training in full precision instead of AMP', stacklevel=2)
        optim_wrapper.type = 'OptimWrapper'
        for key in ('loss_scale', 'dtype', 'use_fsdp'):
            optim_wrapper.pop(key, None)
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


def latest_checkpoint(work_dir: str | Path) -> str | None:
    """The checkpoint to resume from, or None if training has to start anew.

    That is what mmengine noted in ``last_checkpoint``; should the run have been killed while it wrote that note, the
    checkpoint of the highest epoch or iteration.
    """
    noted = find_latest_checkpoint(str(work_dir))
    if noted and Path(noted).exists():
        return noted
    found = [path for path in Path(work_dir).glob('*.pth') if re.fullmatch(r'(epoch|iter)_\d+', path.stem)]
    return str(max(found, key=lambda path: int(path.stem.split('_')[1]))) if found else None


def require_file(path: str) -> None:
    """End with one line if a local file is not there; addresses are mmengine's to read."""
    if '://' not in path and not Path(path).is_file():
        raise SystemExit(f'{path}: no such file')


@contextmanager
def explain_refused_checkpoint() -> Iterator[None]:
    """End with one clear line where ``torch.load`` refuses a file, saying which and for what."""
    path = None
    load = torch.load

    def remember(file, *args, **kwargs):
        nonlocal path
        path = file
        return load(file, *args, **kwargs)

    torch.load = remember  # mmengine's error does not name the file, which may come from deep inside a config
    try:
        yield
    except Exception as error:  # what is not a pickle makes the unpickler fail in any way
        if path is None or not _is_about_loading(error):
            raise
        sys.exit(why_unreadable(path, error))
    finally:
        torch.load = load


def _is_about_loading(error: Exception) -> bool:
    frames, traceback = [], error.__traceback__
    while traceback:
        frames.append(traceback.tb_frame.f_globals.get('__name__', ''))
        traceback = traceback.tb_next
    return any(frame.startswith('torch.serialization') for frame in frames) and not isinstance(error, FileNotFoundError)
