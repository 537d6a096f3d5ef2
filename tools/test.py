"""Evaluate a checkpoint: ``python tools/test.py CONFIG CHECKPOINT``; on several processes by ``dist_test.sh``."""

import argparse
import math
import os
from pathlib import Path

from mmspartan_cli import build_launch_parser, parse


def parse_args():
    parser = build_launch_parser(__doc__)
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out', help='file for the predictions (.pkl), or for the metrics (.json, .yml, .pkl)')
    parser.add_argument('--out-item', choices=['pred', 'metrics'], default='pred', help='what goes to --out')
    parser.add_argument('--show', action='store_true', help='show predictions in a window')
    parser.add_argument('--show-dir', help='folder for drawn predictions')
    parser.add_argument('--wait-time', type=float, default=2, help='seconds that --show shows an image')
    parser.add_argument('--tta', action='store_true', help='test-time augmentation, as tta_model and tta_pipeline say')
    args = parse(parser, 'checkpoint')
    if not 0 <= args.wait_time < math.inf:
        raise SystemExit(f'--wait-time {args.wait_time}: must be a number of at least 0')
    suffixes = dict(pred=['.pkl', '.pickle'], metrics=['.json', '.yml', '.yaml', '.pkl'])[args.out_item]
    if args.out and Path(args.out).suffix not in suffixes:
        raise SystemExit(
            f'--out {args.out}: {args.out_item} is written as {" or ".join(suffixes)}; see also --out-item'
        )
    return args


if __name__ == '__main__':
    args = parse_args()  # before the imports that take seconds

import mmengine
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.registry import METRICS

from mmspartan.commands.command import command
from mmspartan.commands.launch import a_run, load_config
from mmspartan.configs import type_name
from mmspartan.datasets.inner import inner_datasets
from mmspartan.errors import InputError


def enable_visualization(cfg: Config, args) -> None:
    hook = cfg.default_hooks.get('visualization')
    if hook is None:
        raise InputError(f'{args.config}: --show and --show-dir need a hook in default_hooks.visualization')
    hook.update(show=args.show, wait_time=args.wait_time)
    if type_name(hook.type).endswith('DetVisualizationHook'):
        # mmdet resolves a relative path from the work dir
        hook.update(draw=True, test_out_dir=args.show_dir and os.path.abspath(args.show_dir))
    else:
        hook.update(enable=True, out_dir=args.show_dir)
        hook.setdefault('interval', 1)


def enable_tta(cfg: Config, args) -> None:
    if 'tta_model' not in cfg or 'tta_pipeline' not in cfg:
        raise InputError(f'{args.config}: --tta needs tta_model and tta_pipeline in the config')
    cfg.model = dict(**cfg.tta_model, module=cfg.model)
    for _, dataset in inner_datasets(cfg.test_dataloader, ''):
        dataset['pipeline'] = cfg.tta_pipeline


@command()
def main(args: argparse.Namespace) -> None:
    cfg = load_config(args)
    cfg.load_from = args.checkpoint
    if args.amp:
        cfg.test_cfg.fp16 = True
    if args.show or args.show_dir:
        enable_visualization(cfg, args)
    if args.tta:
        enable_tta(cfg, args)

    with a_run(cfg, ['test']) as runner:
        if args.out and args.out_item == 'pred':
            dump = 'mmdet.DumpDetResults' if cfg.get('default_scope') == 'mmdet' else 'DumpResults'
            runner.test_evaluator.metrics.append(METRICS.build(dict(type=dump, out_file_path=args.out)))
        metrics = runner.test()
    if args.out and args.out_item == 'metrics' and is_main_process():
        mmengine.dump(metrics, args.out)


if __name__ == '__main__':
    main(args)
