"""Predictions of a checkpoint or an exported file in COCO's result format, made once and saved.

A result is a dict with ``image_id``, ``category_id``, ``bbox`` (x, y, width and height in pixels) and ``score``.
"""

import json
import reprlib
import shutil
import sys
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ...checkpoints.class_names import check_class_names
from ...commands.launch import a_run
from ...errors import InputError
from .folder import METRICS, is_report
from .ground_truth import GroundTruth, coco_metric

PREDICTIONS = 'predictions.bbox.json'  # in a report folder
FAR = 1.5  # a box that ends beyond this share of its image is no box in pixels


def is_exported(model: str | Path) -> bool:
    """Whether a file is one of ``tools/export_onnx.py``, by its name."""
    return Path(model).suffix == '.onnx'


def require_source(source: str) -> None:
    """Raise InputError unless a source of predictions is a file or a report folder."""
    path = Path(source)
    if not (path.is_file() or path.is_dir() or '://' in source):
        raise InputError(f'{source}: no such file')
    if path.is_dir() and not (is_report(path) and (path / PREDICTIONS).is_file()):
        raise InputError(f'{source}: a folder, but no report of tools/evaluate.py')


def find_source(source: str, truth: GroundTruth) -> Path:
    """Return the file of a source of predictions: of a report folder that with its predictions, or else the source.

    Raises InputError if there is no such source, or the report is on other classes or images.
    """
    require_source(source)
    path = Path(source)
    if not path.is_dir():
        return path
    metrics = json.loads((path / METRICS).read_text())
    classes, images = [row['name'] for row in metrics.get('classes', [])], metrics.get('pictures')
    check_class_names(classes, source, truth.classes, "the config's test set", same_number=True)
    if images not in (None, len(truth.coco.imgs)):
        raise InputError(f'{source}: is on {images} images, {truth.path} has {len(truth.coco.imgs)}')
    return path / PREDICTIONS


def load_or_predict(
    source: str,
    cfg: Config,
    truth: GroundTruth,
    prefix: str | Path,
    backend: str = 'onnxruntime',
    threads: int | None = None,
) -> list[dict[str, Any]]:
    """Return the predictions of a source, and save them to ``<prefix>.bbox.json``.

    A report folder and a file of predictions, ``.json``, are read; others are models, see :func:`predict`. Raises
    InputError if the source does not exist or its predictions are not valid.
    """
    path, target = find_source(source, truth), Path(f'{prefix}.bbox.json')
    if path.suffix != '.json':
        return read_predictions(predict(cfg, source, truth, prefix, backend, threads), truth)
    found = read_predictions(path, truth)
    if not target.exists() or not target.samefile(path):
        shutil.copyfile(path, target)
    return found


def predict(
    cfg: Config,
    model: str,
    truth: GroundTruth,
    prefix: str | Path,
    backend: str = 'onnxruntime',
    threads: int | None = None,
) -> Path:
    """Run a model over the test set by the Runner's test loop, and save its predictions.

    Args:
        cfg: Config of the detector.
        model: A checkpoint, or a file of ``tools/export_onnx.py``, whose name ends with ``.onnx``.
        truth: What the config evaluates on.
        prefix: Path of the file to write, without its suffix ``.bbox.json``.
        backend, threads: Of exported files, as in :class:`~mmspartan.deploy.session.Session`.

    Returns:
        Path: The file with the predictions.

    Raises:
        ValueError: If an exported file cannot be read, or it or a checkpoint does not fit the classes of the test set.
    """
    cfg = cfg.copy()
    settings = {key: coco_metric(cfg)[key] for key in ('sort_categories', 'backend_args') if key in coco_metric(cfg)}
    cfg.test_evaluator = dict(
        type='CheckedCocoMetric', ann_file=truth.path, format_only=True, outfile_prefix=str(prefix), **settings
    )
    if is_exported(model):
        from ...deploy.evaluation import evaluate  # onnx is needed for exported files only

        evaluate(cfg, model, backend, threads)
    else:
        cfg.load_from = model
        cfg.experiment_name = f'{hash((model, str(prefix))) & 0xFFFFFF:x}'  # each Runner needs a unique name
        with a_run(cfg, ['test']) as runner:
            runner.test()
    return Path(f'{prefix}.bbox.json')


def read_predictions(path: str | Path, truth: GroundTruth) -> list[dict[str, Any]]:
    """Read predictions in COCO's result format, and check each of them.

    Raises InputError, which names file and entry, if the file is not a list of results, one of them is of an image or
    class that is not evaluated, or a number is not finite.
    """
    try:
        found = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise InputError(f'{path}: cannot be read: {error.strerror}') from error
    except (ValueError, RecursionError) as error:
        raise InputError(f'{path}: not JSON: {error}') from error
    if not isinstance(found, list):
        raise InputError(f"{path}: must be a list of predictions in COCO's result format, is {type(found).__name__}")
    categories = set(truth.category_ids)
    for i, result in enumerate(found):
        problem = _problem(result, truth, categories)
        if problem:
            raise InputError(f'{path}: [{i}]{problem}; compared with {truth.path}')
    if _are_shares(found, truth):
        raise InputError(f'{path}: all boxes lie in [0, 1], must be in pixels; compared with {truth.path}')
    return [{key: result[key] for key in ('image_id', 'category_id', 'bbox', 'score')} for result in found]


def _problem(result: Any, truth: GroundTruth, categories: set) -> str | None:
    """Return what is wrong with a result, or None; ``categories`` are the ids of the evaluated classes."""
    missing = {'image_id', 'category_id', 'bbox', 'score'} - set(result if isinstance(result, dict) else ())
    if missing:
        return f'.{min(missing)}: is missing'
    box, score = result['bbox'], result['score']
    if not isinstance(box, list) or len(box) != 4 or not all(_is_finite(number) for number in [*box, score]):
        return f': bbox and score must be five finite numbers, are {reprlib.repr(box)} and {reprlib.repr(score)}'
    for key, known in (('image_id', truth.coco.imgs), ('category_id', categories)):
        if not isinstance(result[key], int | str) or result[key] not in known:
            return f'.{key}: {result[key]!r} is none of those evaluated'
    if not 0 <= score <= 1:
        return f'.score: is {score}, must be from 0 to 1'
    if box[2] < 0 or box[3] < 0:
        return f'.bbox: is {box}, must be x, y, width and height'
    image = truth.coco.imgs[result['image_id']]
    for start, side, size in ((box[0], box[2], image['width']), (box[1], box[3], image['height'])):
        if start + side > FAR * size or start < (1 - FAR) * size:
            return (
                f'.bbox: is {box}, far outside of its image of {image["width"]} x {image["height"]} pixels: must be x, '
                'y, width and height in pixels, and not two corners'
            )
    return None


def _are_shares(found: list[dict], truth: GroundTruth) -> bool:
    """Return whether all boxes lie in [0, 1], as those relative to their image do."""
    larger = [r for r in found if max(truth.coco.imgs[r['image_id']][key] for key in ('width', 'height')) > 2]
    return len(larger) > 0 and all(0 <= number <= 1 for r in larger for number in r['bbox'])


def _is_finite(number: Any) -> bool:
    return type(number) in (int, float) and abs(number) <= sys.float_info.max
