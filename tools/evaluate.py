"""Report on a detector: AP by class and size, curves, confusion, score thresholds and the worst images.

``python tools/evaluate.py CONFIG CHECKPOINT --out report`` runs a checkpoint, or a file of tools/export_onnx.py, once.
It writes ``report.html``, figures, images, ``metrics.json``, ``classes.csv`` and ``predictions.bbox.json``.
"""

import argparse
import os
from pathlib import Path

from mmspartan_cli import build_parser, parse, require_path, shown, sibling_command
from mmspartan_cli.choices import BACKENDS


def parse_args():
    parser = build_parser(__doc__)
    parser.add_argument('model', nargs='?', help='checkpoint, or file of tools/export_onnx.py; or else --predictions')
    parser.add_argument('--out', help="folder for the report; 'report' in the work dir by default")
    parser.add_argument('--predictions', help='COCO result file or report folder, instead of running a model')
    parser.add_argument('--compare', help='another checkpoint, exported file, report folder or COCO result file')
    parser.add_argument('--split', choices=['test', 'val'], default='test', help='data of the config to evaluate on')
    parser.add_argument('--score-thr', type=float, help='lowest score for all classes; the best of each by default')
    parser.add_argument('--worst', type=int, default=12, help='number of images that are drawn')
    parser.add_argument('--backend', choices=BACKENDS, default='onnxruntime', help='runtime of exported files')
    parser.add_argument('--threads', type=int, help="its number of threads; the runtime's choice by default")
    args = parse(parser)
    if (args.model is None) == (args.predictions is None):
        raise SystemExit('give either a model or --predictions')
    if args.worst < 0 or not 0 <= (args.score_thr or 0) <= 1:
        raise SystemExit(f'--worst {args.worst} --score-thr {args.score_thr}: at least 0, and in [0, 1]')
    if args.threads is not None and args.threads < 1:
        raise SystemExit(f'--threads {args.threads}: must be at least 1')
    for option, path in (('', args.model), ('--predictions', args.predictions), ('--compare', args.compare)):
        if path:
            require_path(path, option)
    return args


if __name__ == '__main__':
    args = parse_args()  # before the imports that take seconds

from mmspartan.commands.command import blame, command
from mmspartan.commands.launch import load_config
from mmspartan.errors import InputError
from mmspartan.evaluation.report.folder import open_folder
from mmspartan.evaluation.report.ground_truth import GroundTruth, select_split
from mmspartan.evaluation.report.predictions import find_source, load_or_predict, read_predictions, require_source
from mmspartan.evaluation.report.report import Report, write_report
from mmspartan.evaluation.report.tables import floored, terminal_table

MANY = 10  # classes, for a command line


@command()
def main(args: argparse.Namespace) -> None:
    cfg = load_config(args)
    sources = [source for source in (args.model or args.predictions, args.compare) if source]
    with blame(args.config, cfg):
        for source in sources:
            require_source(source)
        select_split(cfg, args.split)
        truth = GroundTruth.of_config(cfg)
        print(f'{args.split}: {cfg.test_dataloader.dataset.ann_file}')
        if truth.note:
            print(truth.note)
    for source in sources:  # before the first one is run
        path = find_source(source, truth)
        if path.suffix == '.json':
            read_predictions(path, truth)
    folder = open_folder(args.out or Path(cfg.work_dir) / 'report')
    if args.compare and os.path.realpath(args.compare) == os.path.realpath(folder):
        raise InputError(f'--compare {args.compare}: is the folder of --out, which is written')
    reports = [
        Report.of(
            truth,
            source,
            load_or_predict(source, cfg, truth, folder / name, args.backend, args.threads),
            args.score_thr,
        )
        for source, name in zip(sources, ('predictions', 'compared'))
    ]
    report, other = reports[0], reports[1] if len(reports) > 1 else None
    metrics = write_report(folder, truth, report, other, args.worst, args.config)
    print(f'\n{terminal_table(metrics)}\n\n{shown(str(folder / "report.html"))}')
    best = report.statistics.total['threshold']
    if best is not None:
        words = ('INPUT', args.config, args.model or 'CHECKPOINT')
        print(
            f'\nDraw with the best threshold: {sibling_command("image_demo.py", *words, "--score-thr", floored(best))}'
        )
        classes = {row['name']: row['threshold'] for row in metrics['classes'] if row['threshold'] is not None}
        if 1 < len(classes) <= MANY:
            for name, threshold in classes.items():
                words += ('--score-thr', f'{name}={floored(threshold)}')
            print(f'or with that of each class: {sibling_command("image_demo.py", *words)}')


if __name__ == '__main__':
    main(args)
