"""Fold a trained model for inference: ``reparameterize_model.py CONFIG SRC DST``.

Use DST with the same config and ``model.deploy=True`` (RTDETR) or ``model.backbone.deploy=True`` (a classifier).
Folding cannot be undone: keep SRC.
"""

import argparse
import logging

from mmspartan_cli import parse


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('source', help='checkpoint file')
    parser.add_argument('target', help='file to write')
    return parse(parser, 'source')


if __name__ == '__main__':
    args = parse_args()  # before the imports that take seconds

from torch import nn

from mmspartan.commands.command import blame, command
from mmspartan.commands.launch import read_config
from mmspartan.convert.files import check_target, write_checkpoint
from mmspartan.deploy import fold_in_place
from mmspartan.deploy.load import load_model


def count_values(model: nn.Module) -> int:
    return sum(value.numel() for value in model.state_dict().values())


@command()
def main(args: argparse.Namespace) -> None:
    logging.disable(logging.WARNING)
    cfg = read_config(args.config)
    with blame(args.config, cfg):
        check_target(args.target, args.source)
        model = load_model(cfg, args.source)
        before = count_values(model)
        fold_in_place(model)
    write_checkpoint(args.target, model.state_dict(), list(model.dataset_meta.get('classes', ())))
    option = 'model.deploy=True' if hasattr(model, 'switch_to_deploy') else 'model.backbone.deploy=True'
    print(
        f'{args.target}: {before:,} weights and statistics became {count_values(model):,}; use it with --cfg-options '
        f'{option}'
    )


if __name__ == '__main__':
    main(args)
