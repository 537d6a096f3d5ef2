"""Train a classifier or a detector: ``python tools/train.py CONFIG``; on several processes by ``dist_train.sh``."""

import argparse

from mmspartan_cli import build_launch_parser, parse, require_file, sibling_command


def parse_args():
    parser = build_launch_parser(__doc__)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='continue from this checkpoint; without a value, from the latest one in the work dir',
    )
    parser.add_argument(
        '--update-optimizer',
        action='store_true',
        help="with --resume: learning rate, weight decay and schedule of the config instead of the checkpoint's",
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate by the ratio of the actual batch size to auto_scale_lr.base_batch_size',
    )
    parser.add_argument(
        '--auto-batch', action='store_true', help='train with the largest batch that fits into the GPU (one GPU)'
    )
    parser.add_argument('--no-validate', action='store_true', help='do not evaluate during training')
    args = parse(parser)
    if args.update_optimizer and args.resume is None:
        raise SystemExit('--update-optimizer is for --resume')
    if args.resume not in (None, 'auto'):
        require_file(args.resume, '--resume')
    return args


if __name__ == '__main__':
    args = parse_args()  # before the imports that take seconds

from mmengine.dist import is_main_process
from torch import nn

from mmspartan.checkpoints.checkpoint import read_checkpoint, state_dict_of, without_wrappers
from mmspartan.commands.command import blame, command
from mmspartan.commands.launch import a_run, load_config, require_data
from mmspartan.errors import InputError
from mmspartan.runs.auto_batch import auto_batch
from mmspartan.runs.work_dir import latest_checkpoint


def require_common_weights(model: nn.Module, path: str) -> None:
    """Check that the file of ``load_from`` has weights of the model, since mmengine does not."""
    weights = state_dict_of(read_checkpoint(path), path)
    if not set(weights) & {key.removeprefix('module.') for key in model.state_dict()}:
        raise InputError(f"{path}: load_from has no weight of the model; others' files: tools/model_converters/")


def print_next_step(runner, config: str) -> None:
    """Name the checkpoint that is best by the evaluations, or else the last one, and the command that evaluates it."""
    best = runner.message_hub.runtime_info.get('best_ckpt')
    checkpoint = best or latest_checkpoint(runner.work_dir)
    if checkpoint and is_main_process():
        name = 'evaluate.py' if hasattr(without_wrappers(runner.model), 'bbox_head') else 'test.py'
        print(f'\n{"Best" if best else "Last"} checkpoint: {checkpoint}')
        print(f'Evaluate it by: {sibling_command(name, config, checkpoint)}')


@command()
def main(args: argparse.Namespace) -> None:
    cfg = load_config(args)
    if args.amp:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.auto_batch:
        if args.launcher != 'none':
            raise InputError('--auto-batch is for one GPU; set train_dataloader.batch_size for several')
        with blame(args.config, cfg):
            require_data(cfg)
            cfg.train_dataloader.batch_size = auto_batch(cfg)
        print(f'--auto-batch: train_dataloader.batch_size={cfg.train_dataloader.batch_size}')
    if args.auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise InputError(f'{args.config}: --auto-scale-lr needs auto_scale_lr.base_batch_size in the config')
        cfg.auto_scale_lr.enable = True
    if args.resume is not None:
        checkpoint = latest_checkpoint(cfg.work_dir) if args.resume == 'auto' else args.resume
        cfg.resume = checkpoint is not None
        cfg.update_optimizer = args.update_optimizer
        if cfg.resume:
            cfg.load_from = checkpoint
        else:
            start = cfg.get('load_from') or 'the beginning'
            print(f'{cfg.work_dir}: no checkpoint to resume from, training starts from {start}')
    elif not cfg.get('resume') and (former := latest_checkpoint(cfg.work_dir)):
        print(f'{former} is of an earlier training, whose files this one may overwrite; see --resume and --work-dir')

    if cfg.get('load_from'):
        require_file(cfg.load_from)
    with a_run(cfg) as runner:
        if len(runner.train_dataloader) == 0:
            loader = cfg.train_dataloader
            raise InputError(
                f'{args.config}: {len(runner.train_dataloader.dataset)} training images do not fill one batch of '
                f'{loader.batch_size} (train_dataloader.batch_size, drop_last)'
            )
        if cfg.get('load_from') and not cfg.get('resume'):
            require_common_weights(runner.model, cfg.load_from)
        runner.train()
    print_next_step(runner, args.config)


if __name__ == '__main__':
    main(args)
