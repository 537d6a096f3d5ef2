"""Evaluate an exported model with the config's data and metric: ``python tools/deploy_test.py CONFIG M.onnx``."""

import argparse
from pathlib import Path

from mmspartan_cli import build_parser, parse, shown
from mmspartan_cli.choices import BACKENDS, LOADED_PRECISIONS


def parse_args():
    parser = build_parser(__doc__)
    parser.add_argument('model', help='ONNX file of tools/export_onnx.py or tools/quantize_onnx.py')
    parser.add_argument('--backend', choices=BACKENDS, default='onnxruntime', help='runtime, on the CPU (%(default)s)')
    parser.add_argument('--threads', type=int, help="number of threads; the runtime's choice by default")
    parser.add_argument(
        '--precision',
        choices=LOADED_PRECISIONS,
        help='of floating-point operations; what the file asks for by default',
    )
    parser.add_argument('--out', help='file for the metrics (.json, .yml, .pkl)')
    return parse(parser, 'model')


if __name__ == '__main__':
    args = parse_args()  # before the imports that take seconds

import mmengine
from mmengine.fileio.handlers.registry_utils import file_handlers

from mmspartan.commands.command import command
from mmspartan.commands.launch import load_config
from mmspartan.convert.files import check_target
from mmspartan.deploy.evaluation import evaluate
from mmspartan.errors import InputError


@command()
def main(args: argparse.Namespace) -> None:
    if args.out:
        check_target(args.out, args.model)
        if Path(args.out).suffix[1:] not in file_handlers:
            raise InputError(f'--out {shown(args.out)}: its name must end with one of .{", .".join(file_handlers)}')
    metrics = evaluate(load_config(args), args.model, args.backend, args.threads, args.precision)
    if args.out:
        mmengine.dump(metrics, args.out)


if __name__ == '__main__':
    main(args)
