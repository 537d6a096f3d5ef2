"""The report on a detector: its numbers, figures and worst images, with those of another detector beside them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.utils import track_iter_progress

from ...datasets.image_files import write_image
from ...errors import InputError
from ...visualization.fonts import matplotlib_fonts
from .detection_statistics import DetectionStatistics
from .drawing import ImageDrawer, Panel
from .figures import draw_confusion, draw_curves, draw_curves_of_classes
from .folder import METRICS, generator
from .ground_truth import GroundTruth
from .matching import coco_of
from .operating_point import OperatingPoint, differences, errors_by_image, worst_first
from .page import render_page
from .tables import class_rows, write_csv


@dataclass(frozen=True)
class Report:
    """What is known about the predictions of one model.

    Attributes:
        model: Its name: the checkpoint, the exported file or the file of predictions.
        detections: Number of detections of any score.
        score_thr: One score threshold for all classes, or None.
        statistics: AP, AR, curves and best score thresholds.
        point: The detections that drawings show, and errors, at the score thresholds.
    """

    model: str
    detections: int
    score_thr: float | None
    statistics: DetectionStatistics
    point: OperatingPoint

    @classmethod
    def of(cls, truth: GroundTruth, model: str, found: list[dict], score_thr: float | None = None) -> 'Report':
        """Evaluate predictions of :func:`~mmspartan.evaluation.report.predictions.read_predictions`.

        ``score_thr`` is one score threshold for all classes; the best one of each class if None.
        """
        print(f'comparing {len(found)} detections of {model} with {len(truth.coco.anns)} objects', flush=True)
        detections = coco_of(truth.coco, found)
        statistics = DetectionStatistics.of(truth, detections)
        thresholds = statistics.thresholds(score_thr)
        point = OperatingPoint.of(truth, detections, thresholds, statistics.match_iou)
        return cls(model, len(found), score_thr, statistics, point)

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers, without those by image."""
        rows = [{**row, 'used_threshold': used} for row, used in zip(self.statistics.classes, self.point.thresholds)]
        return dict(
            model=self.model,
            detections=self.detections,
            score_thr=self.score_thr,
            total=self.statistics.total,
            sizes=self.statistics.sizes,
            classes=rows,
            confusion=self.point.confusion.tolist(),
        )


def write_report(
    folder: Path,
    truth: GroundTruth,
    report: Report,
    other: Report | None = None,
    worst: int = 12,
    config: str = '',
) -> dict[str, Any]:
    """Write the page, figures, drawn images and numbers of a report.

    Args:
        folder: Folder of :func:`~mmspartan.evaluation.report.folder.open_folder`.
        truth: What the predictions were compared with.
        report: The report.
        other: Report on another model, to compare with.
        worst: Largest number of images that are drawn: those with most missed objects and false detections, and with
            ``other`` those with most detections that only one of both has.
        config: Name of the config, for ``metrics.json`` and the head of the page.

    Returns:
        dict: The content of ``metrics.json``.
    """
    statistics, point = report.statistics, report.point
    curves = statistics.recalls, statistics.precisions, truth.classes
    with matplotlib_fonts(truth.classes):
        draw_curves(*curves, statistics.match_iou, folder / 'precision_recall.png')
        draw_curves_of_classes(*curves, folder / 'precision_recall_classes.png')
        draw_confusion(point.confusion, truth.classes, folder / 'confusion_matrix.png')
    for former in [*folder.glob('pictures/worst_*.png'), *folder.glob('pictures/differing_*.png')]:
        former.unlink()
    errors = point.errors(truth)
    drawer = ImageDrawer(truth, point.matching.missed, [Panel.of_errors(point)])
    metrics = dict(
        generator=generator(),
        annotations=truth.path,
        pictures=len(truth.coco.imgs),
        crowd_regions=sum(a['iscrowd'] for a in truth.coco.anns.values() if a['category_id'] in truth.category_ids),
        match_iou=statistics.match_iou,
        config=config,
        **report.as_dict(),
        pictures_with_errors=len(errors),
        worst=draw_images(folder, drawer, errors, worst, 'worst', ('missed', 'false')),
    )
    if other is not None:
        both = differences(truth, point, other.point, statistics.match_iou)
        found = errors_by_image(other.point.detections, point.detections, both)
        panels = [
            Panel(point.detections, frozenset(both.false)),
            Panel(other.point.detections, frozenset(both.missed)),
        ]
        drawer = ImageDrawer(truth, point.matching.missed, panels)
        metrics['compared'] = dict(
            other.as_dict(),
            pictures_that_differ=len(found),
            differing=draw_images(folder, drawer, found, worst, 'differing', ('only_other', 'only_this')),
        )
    write_csv(folder / 'classes.csv', class_rows(metrics))
    (folder / 'report.html').write_text(render_page(metrics, folder), encoding='utf-8')
    (folder / METRICS).write_text(json.dumps(metrics, indent=1), encoding='utf-8')
    return metrics


def draw_images(
    folder: Path,
    drawer: ImageDrawer,
    errors: dict[Any, tuple[int, int]],
    count: int,
    name: str,
    keys: tuple[str, str],
) -> list[dict[str, Any]]:
    """Draw the images with most errors as ``pictures/<name>_01.png`` and so on; return an entry for each."""
    chosen, entries = worst_first(errors, count), []
    for i, image in enumerate(with_progress(chosen, f'drawing images ({name})'), 1):
        entry = dict(picture=str(drawer.truth.image_path(image)), image_id=image, **dict(zip(keys, errors[image])))
        entry['file'] = f'pictures/{name}_{i:02d}.png'
        try:
            write_image(folder / entry['file'], drawer.draw(image))
        except InputError as error:
            entry['file'], entry['problem'] = None, str(error)
        entries.append(entry)
    return entries


def with_progress(items: list, text: str) -> Any:
    if not items:
        return items
    print(text, flush=True)
    return track_iter_progress(items)
