"""Make a trained network smaller: ``compress.py prune CONFIG CKPT --ratio 0.3 --out DIR``.

Removes the least important channels within SpaRTAN's mixers, and writes the pruned weights and a config that builds
them to DIR. Then fine-tune it by ``python tools/train.py DIR/config.py``, with a tenth of the learning rate of CONFIG,
and use it as any other network.

Needs ``pip install torch-pruning==1.6.0``.
"""

import argparse
import logging
from pathlib import Path

from mmspartan_cli import parse


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('method', choices=['prune'], help='how to make it smaller')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--ratio', type=float, default=0.3, help="share of the backbone's multiply-adds to remove; %(default)s"
    )
    parser.add_argument(
        '--importance',
        choices=['taylor', 'magnitude', 'random'],
        default='taylor',
        help='of a channel: weights times gradients of the loss, magnitude of its weights, or none; %(default)s',
    )
    parser.add_argument('--batches', type=int, default=20, help='of the training set, for gradients; %(default)s')
    parser.add_argument('--seed', type=int, default=0, help='for the choice of images, and of channels at random')
    parser.add_argument('--out', required=True, type=Path, help='folder to write, which must not exist')
    return parse(parser, 'checkpoint')


if __name__ == '__main__':
    args = parse_args()  # before the imports that take seconds

import torch
from mmengine.device import get_device
from mmengine.runner import Runner

from mmspartan.commands.command import blame, command
from mmspartan.commands.launch import read_config
from mmspartan.convert.config_file import write_config
from mmspartan.convert.files import write_checkpoint
from mmspartan.deploy.load import load_model
from mmspartan.errors import InputError
from mmspartan.spartan import SpaRTAN


@command()
def main(args: argparse.Namespace) -> None:
    from mmspartan.pruning import (
        add_gradients,
        check_prunable,
        multiply_adds,
        prune,
    )  # refuses in one line without Torch-Pruning

    logging.disable(logging.WARNING)
    if args.out.exists():
        raise InputError(f'--out {args.out}: is there already; name a new folder')
    if args.batches < 1:
        raise InputError(f'--batches {args.batches}: must be at least 1')
    cfg = read_config(args.config)
    with blame(args.config, cfg):
        model = load_model(cfg, args.checkpoint)
        backbone = getattr(model, 'backbone', None)
        if not isinstance(backbone, SpaRTAN):
            raise InputError(f'{args.config}: model.backbone is no SpaRTAN; other backbones cannot be pruned')
        check_prunable(backbone, args.ratio)
        torch.manual_seed(args.seed)
        if args.importance == 'taylor':
            if not cfg.get('train_dataloader'):
                raise InputError(f'{args.config}: has no train_dataloader; --importance magnitude needs none')
            loader = Runner.build_dataloader(cfg.train_dataloader, seed=args.seed)
            add_gradients(model.to(get_device()), loader, args.batches)
            model.cpu()
        before = multiply_adds(backbone), sum(p.numel() for p in backbone.parameters())
        arch = prune(backbone, cfg.model.backbone.to_dict(), args.ratio, args.importance)
    after = multiply_adds(backbone), sum(p.numel() for p in backbone.parameters())
    rate = cfg.get('optim_wrapper', {}).get('optimizer', {}).get('lr')
    lines = [f'optim_wrapper = dict(optimizer=dict(lr={rate / 10:g}))'] if rate else []
    write_checkpoint(args.out / 'pruned.pth', model.state_dict(), list(model.dataset_meta.get('classes', ())))
    write_config(
        args.out / 'config.py',
        args.config,
        dict(backbone=dict(arch=arch)),
        f'{args.checkpoint}, pruned.',
        [*lines, "load_from = '{{ fileDirname }}/pruned.pth'", f"work_dir = './work_dirs/{args.out.name}'"],
    )
    print(
        f'{args.out}: the backbone has {after[0] / before[0]:.0%} of its multiply-adds and '
        f'{after[1]:,} of its {before[1]:,} parameters. Fine-tune it: python tools/train.py {args.out}/config.py'
    )


if __name__ == '__main__':
    main(args)
