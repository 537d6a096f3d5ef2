"""Detect in an image, a folder of images or a video: ``python tools/image_demo.py INPUT CONFIG CHECKPOINT``.

Drawn images go to ``OUT/vis``, detections to ``OUT/preds`` as one JSON file an image, by mmdet's ``DetInferencer``.
Of a video one drawn video and one JSON file with a list of frames are written.
"""

import argparse
import json
from pathlib import Path

import cv2
import mmcv
from mmdet.apis import DetInferencer
from mmengine.config import Config
from mmengine.utils import track_iter_progress

from mmspartan.engine.checkpoint import check_weights_fit
from mmspartan.engine.launch import explain_refused_checkpoint, require_file


class CheckedDetInferencer(DetInferencer):
    """Refuses weights of another network, which mmdet loads as far as names agree."""

    def _load_weights_to_model(self, model, checkpoint, cfg):
        check_weights_fit(model, checkpoint, 'the checkpoint')
        super()._load_weights_to_model(model, checkpoint, cfg)


VIDEO = ('.mp4', '.avi', '.mov', '.mkv', '.webm')


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('input', help='image, folder of images, or video')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out-dir', type=Path, default=Path('outputs'), help='folder for what is drawn and found')
    parser.add_argument('--score-thr', type=float, default=0.3, help='lowest score that is drawn')
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument('--device', help='cuda:0, cpu, ...; a GPU by default, if there is one')
    return parser.parse_args()


def detect_in_video(inferencer: DetInferencer, path: Path, out_dir: Path, score_thr: float) -> None:
    """Write ``vis/<name>.mp4`` and ``preds/<name>.json``."""
    frames = mmcv.VideoReader(str(path))
    for folder in ('vis', 'preds'):
        (out_dir / folder).mkdir(parents=True, exist_ok=True)
    codec = cv2.VideoWriter_fourcc(*'mp4v')
    writer = cv2.VideoWriter(str(out_dir / 'vis' / f'{path.stem}.mp4'), codec, frames.fps, frames.resolution)
    predictions = []
    for frame in track_iter_progress((frames, len(frames))):
        result = inferencer(frame, return_vis=True, pred_score_thr=score_thr)
        writer.write(mmcv.rgb2bgr(result['visualization'][0]))
        predictions += result['predictions']
    writer.release()
    (out_dir / 'preds' / f'{path.stem}.json').write_text(json.dumps(predictions))


def main():
    args = parse_args()
    source = Path(args.input)
    if not source.exists() or (source.is_dir() and not any(source.iterdir())):
        raise SystemExit(f'{args.input}: no such image or video, or an empty folder')
    is_video = source.suffix.lower() in VIDEO
    if source.is_file() and not is_video and mmcv.imread(source) is None:
        raise SystemExit(f'{args.input}: neither an image nor one of {", ".join(VIDEO)}')
    if not Path(args.config).is_file():
        raise SystemExit(f'{args.config}: no such config file')
    if 'bbox_head' not in Config.fromfile(args.config).get('model', {}):
        raise SystemExit(f'{args.config}: not a detector; for classifiers use mmpretrain.ImageClassificationInferencer')
    require_file(args.checkpoint)
    try:
        with explain_refused_checkpoint():
            inferencer = CheckedDetInferencer(args.config, args.checkpoint, device=args.device)
    except ValueError as error:
        raise SystemExit(f'{args.checkpoint}: {error}') from None
    if is_video:
        inferencer.show_progress = False
        detect_in_video(inferencer, source, args.out_dir, args.score_thr)
    else:
        inferencer(
            args.input,
            batch_size=args.batch_size,
            pred_score_thr=args.score_thr,
            no_save_pred=False,
            out_dir=str(args.out_dir),
        )
    print(f'\nwritten to {args.out_dir}')


if __name__ == '__main__':
    main()
