"""Detect in an image, a folder of images or a video: ``python tools/image_demo.py INPUT CONFIG CHECKPOINT``.

mmdet's ``DetInferencer`` writes images with boxes to ``OUT/vis``, and detections to ``OUT/preds`` as one JSON file an
image. For a video the results are one video and one JSON file with a list of frames.
"""

import argparse
import json
import sys
from pathlib import Path

import cv2
import mmcv
from mmdet.apis import DetInferencer
from mmdet.apis.det_inferencer import IMG_EXTENSIONS
from mmengine.utils import track_iter_progress

from mmspartan.datasets.pictures import read_picture
from mmspartan.engine.checkpoint import check_weights_fit, read_checkpoint
from mmspartan.engine.class_names import check_class_names, classes_of
from mmspartan.engine.launch import one_line_errors, read_config, require_file
from mmspartan.errors import InputError


class CheckedDetInferencer(DetInferencer):
    """mmdet's inferencer with checks of weights and classes, and without code execution from checkpoints."""

    def _init_model(self, cfg, weights, device='cpu'):
        self.checkpoint, self.source = read_checkpoint(weights), weights
        return super()._init_model(cfg, None, device)

    def _load_weights_to_model(self, model, checkpoint, cfg):
        check_weights_fit(model, self.checkpoint, self.source)
        names = classes_of(self.checkpoint)
        listed = list((cfg.test_dataloader.dataset.get('metainfo') or {}).get('classes') or ())
        check_class_names(names, self.source, listed, "the config's test set", same_number=True)
        count = getattr(model.bbox_head, 'num_classes', len(names))
        check_class_names(names, self.source, [''] * count, 'the model', same_number=True)
        if not names:  # mmdet would use COCO's names
            names = listed if len(listed) == count else [str(i) for i in range(count)]
            self.checkpoint['meta'] = dict(self.checkpoint.get('meta') or {}, dataset_meta=dict(classes=tuple(names)))
        super()._load_weights_to_model(model, self.checkpoint, cfg)


VIDEO = ('.mp4', '.avi', '.mov', '.mkv', '.webm')


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('input', help='image, folder of images, or video')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out-dir', type=Path, default=Path('outputs'), help='folder for images and detections')
    parser.add_argument('--score-thr', type=float, default=0.3, help='lowest score that is drawn')
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument('--device', help='cuda:0, cpu, ...; a GPU by default, if there is one')
    return parser.parse_args()


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


def find_pictures(source: Path) -> tuple[list[str], list[str]]:
    """Return the images of a file or folder, and a message for each that cannot be read."""
    if source.is_dir():
        paths = sorted(path for path in source.iterdir() if path.suffix.lower() in IMG_EXTENSIONS)
    else:
        paths = [source]
    if not paths:
        raise InputError(f'{source}: no picture in it; looked for {", ".join(IMG_EXTENSIONS)}')
    found, unreadable = [], []
    for path in paths:
        try:
            read_picture(path)
            found.append(str(path))
        except InputError as error:
            unreadable.append(str(error))
    return found, unreadable


def run(args) -> None:
    source, is_video = Path(args.input), Path(args.input).suffix.lower() in VIDEO
    if not source.exists():
        raise InputError(f'{args.input}: no such picture, folder or video')
    if not (source.is_file() or source.is_dir()):
        raise InputError(f'{args.input}: neither a file nor a folder')
    if args.batch_size < 1 or not 0 <= args.score_thr <= 1:
        raise InputError(f'--batch-size {args.batch_size} --score-thr {args.score_thr}: at least 1, and in [0, 1]')
    pictures, unreadable = ([], []) if is_video else find_pictures(source)
    if source.is_file() and not is_video:
        if unreadable:
            raise InputError(f'{unreadable[0]}; videos end with {", ".join(VIDEO)}')
        if source.suffix.lower() not in IMG_EXTENSIONS:
            raise InputError(f'{args.input}: is a picture, but its name does not say of what kind: rename it')
    with one_line_errors(args.config):
        cfg = read_config(args.config)
    with one_line_errors(args.config, cfg=cfg):
        if 'bbox_head' not in cfg.get('model', {}):
            raise InputError(
                f'{args.config}: not a detector; for classifiers use mmpretrain.ImageClassificationInferencer'
            )
        inferencer = CheckedDetInferencer(args.config, args.checkpoint, device=args.device)
    if is_video:
        inferencer.show_progress = False
        detect_in_video(inferencer, source, args.out_dir, args.score_thr)
    elif pictures:
        inferencer(
            pictures,
            batch_size=args.batch_size,
            pred_score_thr=args.score_thr,
            no_save_pred=False,
            out_dir=str(args.out_dir),
        )
    print(f'\nwritten to {args.out_dir}')
    if unreadable:
        sys.exit('\n'.join(['left out:', *unreadable]))


def main():
    args = parse_args()
    if not Path(args.config).is_file():
        raise SystemExit(f'{args.config}: no such config file')
    require_file(args.checkpoint)
    with one_line_errors(args.config, lambda: True):
        run(args)


if __name__ == '__main__':
    main()
