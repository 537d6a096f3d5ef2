"""Make a trained network smaller: ``compress.py prune`` or ``quantize CONFIG CKPT --out DIR``.

``prune`` removes the least important channels within SpaRTAN's mixers; it needs ``pip install torch-pruning==1.6.0``.
``quantize`` folds the network for a training with simulated INT8, for files whose accuracy in INT8 is too low, or with
weights of fewer bits. Both write weights and a config to DIR: fine-tune them by ``python tools/train.py
DIR/config.py``, and use the result as any other network.
"""

import argparse
import logging
from pathlib import Path
from typing import Any

from mmspartan_cli import parse


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    methods = parser.add_subparsers(dest='method', required=True, metavar='prune|quantize')
    prune = methods.add_parser('prune', help='remove channels', description="Remove channels of SpaRTAN's mixers.")
    quantize = methods.add_parser('quantize', help='train for INT8', description='Prepare a training for INT8.')
    for method in (prune, quantize):
        method.add_argument('config', help='config file')
        method.add_argument('checkpoint', help='checkpoint file')
        method.add_argument('--out', required=True, type=Path, help='folder to write, which must not exist')
    prune.add_argument(
        '--ratio', type=float, default=0.3, help="share of the backbone's multiply-adds to remove; %(default)s"
    )
    prune.add_argument(
        '--importance',
        choices=['taylor', 'magnitude', 'random'],
        default='taylor',
        help='of a channel: weights times gradients of the loss, magnitude of its weights, or none; %(default)s',
    )
    prune.add_argument('--batches', type=int, default=20, help='of the training set, for gradients; %(default)s')
    prune.add_argument('--seed', type=int, default=0, help='for the choice of images, and of channels at random')
    quantize.add_argument('--weight-bits', type=int, default=8, help='bits of weights, 2 to 8; %(default)s')
    quantize.add_argument(
        '--keep',
        default='',
        help='regular expression: modules that stay in floating point, besides heads and sampled points',
    )
    quantize.add_argument('--keep-8bit', default='', help='regular expression: modules whose weights have 8 bits')
    quantize.add_argument('--images', type=int, default=128, help='for the ranges of activations; %(default)s')
    quantize.add_argument('--epochs', type=int, default=3, help='of the training; %(default)s')
    return parse(parser, 'checkpoint')


if __name__ == '__main__':
    args = parse_args()  # before the imports that take seconds

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.runner import Runner
from torch import nn

from mmspartan.commands.command import blame, command
from mmspartan.commands.launch import read_config
from mmspartan.convert.config_file import write_config
from mmspartan.convert.files import write_checkpoint
from mmspartan.datasets.calibration import CalibrationImages
from mmspartan.deploy import deploy
from mmspartan.deploy.load import load_model
from mmspartan.errors import InputError
from mmspartan.nn.fake_quant import insert_quantizers, pop_quantizers
from mmspartan.quantization_aware import calibrate, fine_tuning, folded_form, lower_rate
from mmspartan.runs.hooks.fake_quant_hook import KEY, FakeQuantHook
from mmspartan.spartan import SpaRTAN


@command()
def main(args: argparse.Namespace) -> None:
    logging.disable(logging.WARNING)
    if args.out.exists():
        raise InputError(f'--out {args.out}: is there already; name a new folder')
    cfg = read_config(args.config)
    with blame(args.config, cfg):
        done = prune(args, cfg) if args.method == 'prune' else quantize(args, cfg)
    print(f'{args.out}: {done}. Fine-tune it: python tools/train.py {args.out}/config.py')


def prune(args: argparse.Namespace, cfg: Config) -> str:
    from mmspartan import pruning  # refuses in one line without Torch-Pruning

    if args.batches < 1:
        raise InputError(f'--batches {args.batches}: must be at least 1')
    model: Any = load_model(cfg, args.checkpoint)
    backbone = getattr(model, 'backbone', None)
    if not isinstance(backbone, SpaRTAN):
        raise InputError(f'{args.config}: model.backbone is no SpaRTAN; other backbones cannot be pruned')
    pruning.check_prunable(backbone, args.ratio)
    torch.manual_seed(args.seed)
    if args.importance == 'taylor':
        if not cfg.get('train_dataloader'):
            raise InputError(f'{args.config}: has no train_dataloader; --importance magnitude needs none')
        loader = Runner.build_dataloader(cfg.train_dataloader, seed=args.seed)
        pruning.add_gradients(model.to(get_device()), loader, args.batches)
        model.cpu()
    before = pruning.multiply_adds(backbone), count(backbone)
    arch = pruning.prune(backbone, cfg.model.backbone.to_dict(), args.ratio, args.importance)
    after = pruning.multiply_adds(backbone), count(backbone)
    write_checkpoint(args.out / 'pruned.pth', model.state_dict(), list(model.dataset_meta.get('classes', ())))
    write(args, 'pruned', dict(backbone=dict(arch=arch)), lower_rate(cfg, 0.1))
    return (
        f'the backbone has {after[0] / before[0]:.0%} of its multiply-adds and {after[1]:,} of its {before[1]:,} '
        'parameters'
    )


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def write(args: argparse.Namespace, name: str, model: dict, settings: dict) -> None:
    """Write the config of the fine-tuning: its model's and its own differences from the config."""
    model = {**model, 'backbone': {**model.get('backbone', {}), 'init_cfg': None}}  # whose weights would not fit
    lines = [f'{key} = {value!r}' for key, value in settings.items()]
    lines += [f"load_from = '{{{{ fileDirname }}}}/{name}.pth'", f"work_dir = './work_dirs/{args.out.name}'"]
    write_config(args.out / 'config.py', args.config, model, f'{args.checkpoint}, {name}.', lines)


def quantize(args: argparse.Namespace, cfg: Config) -> str:
    for option in ('images', 'epochs'):
        if getattr(args, option) < 1:
            raise InputError(f'--{option} {getattr(args, option)}: must be at least 1')
    if not 2 <= args.weight_bits <= 8:
        raise InputError(f'--weight-bits {args.weight_bits}: can be 2 to 8')
    settings = dict(weight_bits=args.weight_bits, keep=args.keep, keep_8bit=args.keep_8bit)
    bits = FakeQuantHook(**settings).bits
    trained: Any = load_model(cfg, args.checkpoint)
    options = folded_form(trained)
    model: Any = deploy(trained)
    weights = model.state_dict()
    images = CalibrationImages(cfg, args.images)
    quantized = insert_quantizers(model, bits)
    if not quantized:
        raise InputError(f'{args.config}: the model has no convolution or linear layer to quantize, but for --keep')
    calibrate(model, images)
    classes = list(trained.dataset_meta.get('classes', ()))
    write_checkpoint(args.out / 'quantized.pth', weights, classes, **{KEY: pop_quantizers(model.state_dict())})
    hook = dict(type='FakeQuantHook', **settings)
    write(args, 'quantized', options, fine_tuning(cfg, model, hook, args.epochs))
    return f'the inputs and weights of {quantized} convolutions and linear layers are rounded'


if __name__ == '__main__':
    main(args)
