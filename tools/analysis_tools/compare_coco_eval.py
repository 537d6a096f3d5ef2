"""Evaluate detections by pycocotools and faster-coco-eval, and print the twelve metrics and the times of both.

RESULTS has COCO's result format, which ``tools/test.py CONFIG CKPT --cfg-options test_evaluator.outfile_prefix=PREFIX``
writes to ``PREFIX.bbox.json``.
"""

import argparse
import contextlib
import io
import time

from mmspartan_cli import parse


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('annotations', help='COCO annotation file')
    parser.add_argument('results', help='detections, <prefix>.bbox.json')
    return parse(parser, 'annotations', 'results')


if __name__ == '__main__':
    args = parse_args()  # before the imports that take seconds

import numpy as np
from faster_coco_eval.core.faster_eval_api import COCOeval_faster
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

NAMES = ('AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'AR@100', 'AR@300', 'AR@1000', 'ARs', 'ARm', 'ARl')


def timed_metrics(evaluator: type, objects: COCO, detections: COCO) -> tuple[np.ndarray, float]:
    """Return the twelve metrics, with the limits of detections per image of mmdet's CocoMetric, and the seconds."""
    start = time.perf_counter()
    run = evaluator(objects, detections, 'bbox')
    run.params.maxDets = [100, 300, 1000]
    run.evaluate()
    run.accumulate()
    run.summarize()
    return np.array(run.stats[:12]), time.perf_counter() - start


def main(args: argparse.Namespace) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        objects = COCO(args.annotations)
        detections = objects.loadRes(args.results)
        expected, seconds = timed_metrics(COCOeval, objects, detections)
        faster, faster_seconds = timed_metrics(COCOeval_faster, objects, detections)
    print(f'{"":8s} {"pycocotools":>12s} {"faster-coco-eval":>17s}')
    for name, *values in zip(NAMES, expected, faster):
        print(f'{name:8s} {values[0]:12.6f} {values[1]:17.6f}')
    print(f'{"seconds":8s} {seconds:12.3f} {faster_seconds:17.3f}   ({seconds / faster_seconds:.1f} times as fast)')
    if np.abs(expected - faster).max() > 1e-9:
        raise SystemExit('the numbers differ')


if __name__ == '__main__':
    main(args)
