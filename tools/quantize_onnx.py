"""Quantize an exported model to eight bits and compare: ``quantize_onnx.py CONFIG M.onnx --out M_int8.onnx``.

Calibrates on images of the config's training set, then prints size, latency and accuracy of both files.
"""

import re
import statistics
import time
from pathlib import Path

import numpy as np
import onnx

from mmspartan.deployment.evaluation import check_classes, evaluate
from mmspartan.deployment.exported import BACKENDS, Session
from mmspartan.deployment.quantization import DatasetReader, quantize
from mmspartan.engine.launch import build_parser, load_config, require_file


def parse_args():
    parser = build_parser(__doc__)
    parser.add_argument('model', type=Path, help='ONNX file of tools/export_onnx.py')
    parser.add_argument('--out', required=True, type=Path, help='file to write')
    parser.add_argument('--images', type=int, default=128, help='to calibrate on')
    parser.add_argument('--keep', default='', help='regular expression: weights of convolutions that stay in float')
    parser.add_argument('--threads', type=int, default=2, help='for the latencies')
    return parser.parse_args()


def kept_nodes(model: onnx.ModelProto, pattern: str) -> list[str]:
    """Convolutions one of whose inputs has a name in which the pattern is found."""
    if not pattern:
        return []
    convs = [node for node in model.graph.node if node.op_type == 'Conv']
    return [node.name for node in convs if any(re.search(pattern, name) for name in node.input)]


def latencies(paths: list[Path], backend: str, threads: int, repeats: int = 30) -> list[float]:
    """Median milliseconds for one image, the files in turn."""
    sessions = [Session(path, backend, threads) for path in paths]
    shape = [int(side) for side in sessions[0].inputs['images'][1:]]
    feed = dict(images=np.random.default_rng(0).uniform(0, 255, (1, *shape)).astype(np.float32))
    if 'sizes' in sessions[0].inputs:
        feed['sizes'] = np.array([shape[1:]], dtype=np.float32)
    times: list[list[float]] = [[] for _ in sessions]
    for _ in range(repeats):
        for session, record in zip(sessions, times):
            start = time.perf_counter()
            session(**feed)
            record.append((time.perf_counter() - start) * 1e3)
    return [statistics.median(record[5:]) for record in times]


def main():
    args = parse_args()
    require_file(str(args.model))
    cfg = load_config(args)
    model = onnx.load(args.model)
    if any(entry.key == 'winograd' and entry.value != '0' for entry in model.metadata_props):
        raise SystemExit(f'{args.model}: was exported with --winograd, which is for float32; export it without')
    keep = kept_nodes(model, args.keep)
    if args.keep and not keep:
        raise SystemExit(f'--keep {args.keep!r}: no convolution of {args.model} has such a weight')
    reader = DatasetReader(cfg, args.images, any(i.name == 'sizes' for i in model.graph.input))
    try:
        check_classes(str(args.model), reader.classes)
    except ValueError as error:
        raise SystemExit(str(error)) from None
    quantize(args.model, args.out, reader, keep)
    paths = [args.model, args.out]
    names: list[str] = []
    width = max(len(path.name) for path in paths) + 2
    for backend in BACKENDS:
        metrics = [evaluate(cfg, str(path), backend) for path in paths]
        if not names:
            names = [name for name in metrics[0] if re.search(r'top1|bbox_mAP(_50|_75)?$', name)]
            print(f'\n{"file":{width}}{"":13}{"size":>10}{"one image":>12}' + ''.join(f'{name:>20}' for name in names))
        for path, found, milliseconds in zip(paths, metrics, latencies(paths, backend, args.threads)):
            row = f'{path.name:{width}}{backend:13}{path.stat().st_size / 1e6:>7.1f} MB{milliseconds:>9.1f} ms'
            print(row + ''.join(f'{found[name]:>20.3f}' for name in names))
    print(f'{len(keep)} convolutions stay in float')


if __name__ == '__main__':
    main()
