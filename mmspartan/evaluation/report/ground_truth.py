"""The images, objects and classes that a config evaluates a detector on."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdet.datasets import CocoDataset
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from ...configs import type_name
from ...datasets.checked_coco import CheckedCOCO
from ...datasets.coco import check_categories
from ...errors import InputError
from ..limited_eval import LIMITS, crowded, limits_of

SPLITS = ('test', 'val')
DETECTORS = ('bbox_head', 'roi_head', 'rpn_head')  # one of them is in the config of each detector of mmdet


@dataclass(frozen=True)
class GroundTruth:
    """Annotations, classes and limits of an evaluation.

    Attributes:
        path: Annotation file.
        coco: Its content.
        classes: Names in the order of the labels.
        category_ids: Ids of the classes in the annotation file, in the same order.
        folder: Folder of the images.
        iou_thresholds: IoU thresholds over which AP and AR are averaged; COCO's 0.5, 0.55, ..., 0.95 if None.
        max_detections: Largest numbers of detections of an image, as in mmdet's ``CocoMetric.proposal_nums``.
        ap_index: Index of the one for AP.
    """

    path: str
    coco: CheckedCOCO
    classes: list[str]
    category_ids: list
    folder: str
    iou_thresholds: list[float] | None = None
    max_detections: tuple[int, ...] = LIMITS
    ap_index: int = 0

    @classmethod
    def of_config(cls, cfg: Config) -> 'GroundTruth':
        """Read what a config evaluates on.

        Args:
            cfg: Config of a detector, with ``test_dataloader`` and ``test_evaluator``; see :func:`select_split`.

        Raises:
            InputError: If the config is not of a detector, its dataset is not in COCO format, its classes are not those
                of the annotation file, or the file has no annotation.
        """
        name = cfg.filename or 'the config'
        if not any(key in cfg.get('model', {}) for key in DETECTORS):
            raise InputError(
                f'{name}: not a detector, and this report is for detectors; docs/evaluation.md has the commands for '
                'classifiers'
            )
        settings = dict(cfg.test_dataloader.dataset)
        scope = cfg.get('default_scope') or 'mmdet'
        with DefaultScope.overwrite_default_scope(scope), DATASETS.switch_scope_and_registry(scope) as registry:
            kind = settings.get('type')
            kind = registry.get(kind) if isinstance(kind, str) else kind
            if not (isinstance(kind, type) and issubclass(kind, CocoDataset)):
                raise InputError(
                    f'{name}: test_dataloader.dataset.type is {settings.get("type")}, must be a dataset in COCO format '
                    'such as CheckedCocoDataset'
                )
            dataset = DATASETS.build({**settings, 'pipeline': [], 'lazy_init': True})
        path, classes = dataset.ann_file, list(dataset.metainfo['classes'])
        if not Path(path).is_file():
            raise InputError(f'{path}: no such file (test_dataloader.dataset.ann_file)')
        coco = CheckedCOCO(path)
        check_categories(classes, [c['name'] for c in coco.dataset['categories']], path, 'metainfo.classes')
        category_ids = coco.get_cat_ids(cat_names=classes)
        if not any(annotation['category_id'] in category_ids for annotation in coco.dataset['annotations']):
            raise InputError(
                f'{path}: has no annotations of {", ".join(classes[:10])} to compare with{_other_split(cfg)}'
            )
        metric = coco_metric(cfg)
        limits, ap_index = limits_of(metric.get('proposal_nums'), f'{name}: test_evaluator.proposal_nums')
        thresholds = metric.get('iou_thrs')
        thresholds = [thresholds] if isinstance(thresholds, float) else thresholds
        folder = (dataset.data_prefix or {}).get('img') or dataset.data_root or ''
        return cls(path, coco, classes, category_ids, folder, thresholds, limits, ap_index)

    @property
    def note(self) -> str | None:
        """A sentence on images with more objects than AP counts detections; None if there is none."""
        return crowded(self.coco, self.max_detections[self.ap_index])

    def image_path(self, image_id: Any) -> Path:
        return Path(os.path.normpath(Path(self.folder, self.coco.imgs[image_id]['file_name'])))


def _other_split(cfg: Config) -> str:
    """Return the end of a message that advises to evaluate on the validation set, if it is another one."""
    val, test = (cfg.get(f'{split}_dataloader') for split in ('val', 'test'))
    return '; evaluate on the validation set: --split val' if val and val.dataset != test.dataset else ''


def coco_metric(cfg: Config) -> dict:
    """Return the settings of the COCO metric among the evaluators of a config; {} if there is none."""
    evaluators = cfg.get('test_evaluator') or []
    evaluators = evaluators if isinstance(evaluators, list | tuple) else [evaluators]
    return next((e for e in evaluators if type_name(e.get('type')).endswith('CocoMetric')), {})


def select_split(cfg: Config, split: str) -> None:
    """Make the data and evaluator of a split, ``'test'`` or ``'val'``, those that the config is tested on.

    Raises InputError if the config has no data of this split.
    """
    for key in ('dataloader', 'evaluator'):
        if cfg.get(f'{split}_{key}') is None:
            other = next((name for name in SPLITS if name != split and cfg.get(f'{name}_{key}') is not None), None)
            advice = f'; --split {other}' if other else ''
            raise InputError(f'{cfg.filename}: has no {split}_{key}{advice}')
        cfg[f'test_{key}'] = cfg[f'{split}_{key}']
    cfg.test_cfg = cfg.get('test_cfg') or dict()
