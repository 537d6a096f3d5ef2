"""Quantize an exported model to INT8 and compare: ``quantize_onnx.py CONFIG M.onnx --out M_int8.onnx``.

Convolutions and linear layers are quantized, calibrated on images of the config's training set. Prints size, latency
and accuracy of both files.
"""

import argparse
import re
import statistics
from pathlib import Path

from mmspartan_cli import build_parser, parse
from mmspartan_cli.choices import BACKENDS


def parse_args():
    parser = build_parser(__doc__)
    parser.add_argument('model', type=Path, help='ONNX file of tools/export_onnx.py')
    parser.add_argument('--out', required=True, type=Path, help='file to write')
    parser.add_argument(
        '--backend', choices=BACKENDS, default='openvino', help='runtime of the file, on the CPU (%(default)s)'
    )
    parser.add_argument('--images', type=int, default=128, help='number of images for calibration (%(default)s)')
    parser.add_argument('--keep', default='', help='regular expression: weights of convolutions that stay in float')
    parser.add_argument('--keep-linear', action='store_true', help='linear layers, as in the decoder, stay in float')
    parser.add_argument(
        '--reduce-range', action='store_true', help='weights of 7 bits, for x86 processors without VNNI, which saturate'
    )
    parser.add_argument('--threads', type=int, default=2, help='number of threads for the latencies')
    return parse(parser, 'model')


if __name__ == '__main__':
    args = parse_args()  # before the imports that take seconds

import onnx

from mmspartan.benchmark.timing import timed
from mmspartan.commands.command import blame, command
from mmspartan.commands.launch import load_config
from mmspartan.convert.files import check_target
from mmspartan.datasets.calibration import CalibrationImages
from mmspartan.deploy.evaluation import check_classes, evaluate
from mmspartan.deploy.files import read_onnx
from mmspartan.deploy.precision import precision_of
from mmspartan.deploy.quantization import Feeds, count_products, quantize
from mmspartan.deploy.session import Session
from mmspartan.deploy.tasks import Task, task_of_outputs
from mmspartan.errors import InputError
from mmspartan.runs.long_work import announced


def kept_nodes(model: onnx.ModelProto, pattern: str) -> list[str]:
    """Return the names of convolutions with an input whose name matches the pattern."""
    if not pattern:
        return []
    convs = [node for node in model.graph.node if node.op_type == 'Conv']
    return [node.name for node in convs if any(re.search(pattern, name) for name in node.input)]


def linear_nodes(model: onnx.ModelProto) -> list[str]:
    return [node.name for node in model.graph.node if node.op_type in ('MatMul', 'Gemm')]


def latency(path: Path, task: Task, backend: str, threads: int, repeats: int = 30) -> float:
    """Return the median latency for one image in milliseconds.

    No other session may be there: the threads of ONNX Runtime spin while they wait.
    """
    session = Session(path, backend, threads)
    height, width = map(int, session.inputs['images'][2:])
    feed = {name: value.numpy() for name, value in task.example(1, (height, width)).items()}
    return statistics.median([timed(lambda: session(**feed), 'cpu') for _ in range(repeats)][5:])


def read_model(path: Path) -> onnx.ModelProto:
    """Read a model to quantize.

    Raises:
        InputError: If the file is not an ONNX file or cannot be quantized.
    """
    model = read_onnx(path)
    if not precision_of(model, path).runtimes:
        raise InputError(f'{path}: is FP16; export it with --precision f32')
    if any(node.op_type == 'DequantizeLinear' for node in model.graph.node):
        raise InputError(f'{path}: is INT8 already; give the file of tools/export_onnx.py')
    return model


@command()
def main(args: argparse.Namespace) -> None:
    cfg = load_config(args)
    cfg.log_level = 'ERROR'  # the table at the end has the metrics
    model = read_model(args.model)
    check_target(args.out, args.model)
    if args.images < 1:
        raise InputError(f'--images {args.images}: to calibrate takes at least one')
    keep = kept_nodes(model, args.keep)
    if args.keep and not keep:
        raise InputError(f'--keep {args.keep!r}: no convolution of {args.model} has such a weight')
    task = task_of_outputs(output.name for output in model.graph.output)
    if task is None:
        raise InputError(f'{args.model}: not a file of tools/export_onnx.py')
    with blame(args.config, cfg):
        images = CalibrationImages(cfg, args.images)
    check_classes(str(args.model), images.classes)
    paths = [args.model, args.out]
    # before the quantization, since it fails if file and config do not match
    print(f'evaluating {args.model}', flush=True)
    metrics = [evaluate(cfg, str(args.model), args.backend)]
    keep += linear_nodes(model) if args.keep_linear else []
    feeds = Feeds(task.feed([data['inputs']], [data['data_samples']]) for data in images)
    with announced(f'\nquantizing, calibrated on {len(images.chosen)} images'):
        quantize(args.model, args.out, feeds, keep, args.backend, args.reduce_range)
    print(f'\nevaluating {args.out}', flush=True)
    metrics.append(evaluate(cfg, str(args.out), args.backend))

    names = [name for name in metrics[0] if re.search(r'top1|bbox_mAP(_50|_75)?$', name)] or list(metrics[0])
    width = max(len(path.name) for path in paths) + 2
    with announced('\nmeasuring latencies'):
        latencies = [latency(path, task, args.backend, args.threads) for path in paths]
    print(f'\n{"file":{width}}{"":13}{"size":>10}{"one image":>12}' + ''.join(f'{name:>20}' for name in names))
    for path, found, milliseconds in zip(paths, metrics, latencies):
        row = f'{path.name:{width}}{args.backend:13}{path.stat().st_size / 1e6:>7.1f} MB{milliseconds:>9.1f} ms'
        print(row + ''.join(f'{found[name]:>20.3f}' for name in names))
    integer, products = count_products(read_onnx(args.out).graph)
    print(f'{integer} of {products} convolutions and linear layers in INT8')


if __name__ == '__main__':
    main(args)
