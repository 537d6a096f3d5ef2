"""Detect in an image, a folder of images or a video: ``python tools/image_demo.py INPUT CONFIG CHECKPOINT``.

mmdet's ``DetInferencer`` writes images with boxes to ``OUT/vis``, and detections to ``OUT/preds`` as one JSON file an
image. For a video the results are one video and one JSON file with a list of frames. ``--slice SIZE`` finds small
objects in large images: it detects in overlapping parts as well as in the whole image.
"""

import argparse
import json
import sys
from pathlib import Path

from mmspartan_cli import parse


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('input', help='image, folder of images, or video')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint, or file of tools/export_onnx.py')
    parser.add_argument('--out-dir', type=Path, default=Path('outputs'), help='folder for images and detections')
    parser.add_argument('--score-thr', type=float, default=0.3, help='lowest score that is drawn')
    parser.add_argument('--batch-size', type=int, default=1, help='images, or with --slice parts, at once')
    parser.add_argument('--slice', type=int, help='also detect in parts of this width and height in pixels')
    parser.add_argument('--overlap', type=float, default=0.2, help='of neighbouring parts, relative to their size')
    parser.add_argument('--device', help='cuda:0, cpu, ...; a GPU by default, if there is one')
    return parse(parser, 'checkpoint')


if __name__ == '__main__':
    args = parse_args()  # before the imports that take seconds

import cv2
import mmcv
from mmdet.apis import DetInferencer
from mmdet.apis.det_inferencer import IMG_EXTENSIONS
from mmengine.utils import track_iter_progress

from mmspartan.datasets.pictures import read_picture
from mmspartan.engine.launch import one_line_errors, read_config
from mmspartan.errors import InputError
from mmspartan.inference import CheckedDetInferencer, SlicingDetInferencer

VIDEO = ('.mp4', '.avi', '.mov', '.mkv', '.webm')


def detect_in_video(inferencer: DetInferencer, path: Path, out_dir: Path, score_thr: float) -> None:
    """Write ``vis/<name>.mp4`` and ``preds/<name>.json``."""
    frames = mmcv.VideoReader(str(path))
    if frames.frame_cnt < 1 or not frames.width:
        raise InputError(f'{path}: no video that can be read')
    for folder in ('vis', 'preds'):
        (out_dir / folder).mkdir(parents=True, exist_ok=True)
    codec, writer = cv2.VideoWriter_fourcc(*'mp4v'), None
    predictions = []
    for frame in track_iter_progress((frames, len(frames))):
        result = inferencer(frame, return_vis=True, pred_score_thr=score_thr)
        drawn = mmcv.rgb2bgr(result['visualization'][0])
        if writer is None:  # a visualizer may enlarge the frames
            size = drawn.shape[1::-1]
            writer = cv2.VideoWriter(str(out_dir / 'vis' / f'{path.stem}.mp4'), codec, frames.fps, size)
        writer.write(drawn)
        predictions += result['predictions']
    writer.release()
    (out_dir / 'preds' / f'{path.stem}.json').write_text(json.dumps(predictions))


def find_pictures(source: Path) -> list[str]:
    """Return the images of a file or folder."""
    if not source.is_dir():
        try:
            read_picture(source)
        except InputError as error:
            raise InputError(f'{error}; videos end with {", ".join(VIDEO)}') from None
        if source.suffix.lower() not in IMG_EXTENSIONS:
            raise InputError(f'{source}: is a picture, but its name does not say of what kind: rename it')
        return [str(source)]
    paths = sorted(path for path in source.iterdir() if path.suffix.lower() in IMG_EXTENSIONS)
    if not paths:
        raise InputError(f'{source}: no picture in it; looked for {", ".join(IMG_EXTENSIONS)}')
    return list(map(str, paths))


def check_options(args) -> None:
    for option, value, is_valid, valid in (
        ('batch-size', args.batch_size, args.batch_size >= 1, 'at least 1'),
        ('score-thr', args.score_thr, 0 <= args.score_thr <= 1, 'from 0 to 1'),
        ('slice', args.slice, args.slice is None or args.slice >= 32, 'at least 32 pixels'),
        ('overlap', args.overlap, 0 <= args.overlap < 1, 'at least 0 and less than 1'),
    ):
        if not is_valid:
            raise InputError(f'--{option} {value}: must be {valid}')


def summary(scores: list[list[float]], score_thr: float) -> str:
    """Return a sentence on how many detections are drawn; ``scores`` has those of each picture."""
    drawn = sum(score >= score_thr for found in scores for score in found)
    line = f'\n{drawn} detections with a score of at least {score_thr:g} in {len(scores)} pictures'
    best = max((score for found in scores for score in found), default=0.0)
    return line if drawn else f'{line}; the highest score is {best:.2f}: lower --score-thr to see more'


def run(args) -> None:
    source, is_video = Path(args.input), Path(args.input).suffix.lower() in VIDEO
    check_options(args)
    if not source.exists():
        raise InputError(f'{args.input}: no such picture, folder or video')
    if not (source.is_file() or source.is_dir()):
        raise InputError(f'{args.input}: neither a file nor a folder')
    pictures = [] if is_video else find_pictures(source)
    with one_line_errors(args.config):
        cfg = read_config(args.config)
    with one_line_errors(args.config, cfg=cfg):
        if 'bbox_head' not in cfg.get('model', {}):
            raise InputError(
                f'{args.config}: not a detector; for classifiers use mmpretrain.ImageClassificationInferencer'
            )
        if args.slice is None:
            inferencer = CheckedDetInferencer(args.config, args.checkpoint, device=args.device)
        else:
            inferencer = SlicingDetInferencer(
                args.config, args.checkpoint, device=args.device, slice_size=args.slice, overlap=args.overlap
            )
    if is_video:
        inferencer.show_progress = False
        detect_in_video(inferencer, source, args.out_dir, args.score_thr)
    else:
        found = inferencer(
            pictures,
            batch_size=args.batch_size,
            pred_score_thr=args.score_thr,
            no_save_pred=False,
            out_dir=str(args.out_dir),
        )
        print(summary([picture['scores'] for picture in found['predictions']], args.score_thr))
    if source.is_file() and inferencer.unreadable:
        raise InputError(inferencer.unreadable[0])
    print(f'\nwritten to {args.out_dir}')
    if inferencer.unreadable:
        sys.exit('\n'.join(['left out:', *inferencer.unreadable]))


def main(args: argparse.Namespace) -> None:
    with one_line_errors(args.config, lambda: True):
        run(args)


if __name__ == '__main__':
    main(args)
