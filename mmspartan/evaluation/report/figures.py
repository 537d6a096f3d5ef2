"""Figures of a report: precision-recall curves and the confusion matrix, drawn by matplotlib without a display."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ...visualization.fonts import legible

MAX_CLASSES = 80  # of a figure; the tables have all
MAX_LEGEND = 12
MAX_NUMBERS = 25  # classes up to which the cells of the confusion matrix carry their numbers


def as_text(name: str, number: int) -> str:
    """Return a class name as matplotlib can draw it; ``number`` of the class, from 1 on, stands for other names."""
    return legible(name, number).replace('$', r'\$')  # else a formula


def draw_curves(recalls: np.ndarray, precisions: np.ndarray, names: Sequence[str], iou: float, path: Path) -> None:
    """Draw the precision-recall curve of all classes, and thinner ones of each class, as a PNG file.

    Args:
        recalls: ``(R,)`` in [0, 1].
        precisions: ``(R, num_classes)``; NaN for classes without objects.
        iou: IoU threshold of the curves, for the title.
    """
    figure = Figure(figsize=(7, 5), dpi=110, layout='constrained')
    axes = figure.add_subplot()
    defined = [k for k in range(len(names)) if not np.isnan(precisions[:, k]).any()]
    is_named = 1 < len(defined) <= MAX_LEGEND
    for k in defined if len(defined) > 1 else []:
        label = f'{as_text(names[k], k + 1)} {precisions[:, k].mean():.2f}' if is_named else None
        axes.plot(recalls, precisions[:, k], linewidth=1, alpha=0.9 if is_named else 0.35, label=label)
    if defined:
        mean = precisions[:, defined].mean(1)
        axes.plot(recalls, mean, color='black', linewidth=2.5, label=f'all {mean.mean():.2f}')
        axes.legend(title=f'AP{100 * iou:.0f}', fontsize='small', loc='lower left')
    axes.set(xlabel='recall', ylabel='precision', xlim=(0, 1), ylim=(0, 1.03), title=f'IoU at least {iou:g}')
    axes.grid(alpha=0.3)
    figure.savefig(path)


def draw_curves_of_classes(recalls: np.ndarray, precisions: np.ndarray, names: Sequence[str], path: Path) -> None:
    """Draw the precision-recall curve of each class by itself; arguments as in :func:`draw_curves`."""
    shown = range(min(len(names), MAX_CLASSES))
    rows = -(-len(shown) // 8)
    columns = -(-len(shown) // rows)
    width, height = 1.7 * columns + 0.5, 1.7 * rows + 0.5
    figure = Figure(figsize=(width, height), dpi=90)  # a layout by hand: matplotlib's takes 10 s for 80 classes
    figure.subplots_adjust(0.5 / width, 0.45 / height, 1 - 0.1 / width, 1 - 0.25 / height, wspace=0.1, hspace=0.25)
    for k, axes in zip(shown, np.ravel(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False))):
        axes.set_title(as_text(names[k], k + 1), fontsize=8)
        axes.set(xlim=(0, 1), ylim=(0, 1.03), xticks=(0, 0.5, 1), xticklabels=('0', '0.5', '1'))
        axes.tick_params(labelsize=6)
        axes.grid(alpha=0.3)
        if np.isnan(precisions[:, k]).any():
            axes.text(0.5, 0.5, 'no objects', ha='center', va='center', fontsize=7)
        else:
            axes.fill_between(recalls, precisions[:, k], alpha=0.3)
            axes.plot(recalls, precisions[:, k])
            axes.text(0.05, 0.08, f'AP50 {precisions[:, k].mean():.2f}', fontsize=7)
    for axes in figure.axes[len(shown) :]:
        axes.set_visible(False)
    figure.supxlabel('recall', y=0.08 / height, fontsize=8)
    figure.supylabel('precision', x=0.08 / width, fontsize=8)
    figure.savefig(path)


def draw_confusion(matrix: np.ndarray, names: Sequence[str], path: Path) -> None:
    """Draw a confusion matrix, whose rows are shaded by the share of their sum, as a PNG file.

    ``matrix`` is ``(num_classes + 1, num_classes + 1)``, its last row and column are the background.
    """
    if len(names) > MAX_CLASSES:  # those with most objects
        kept = np.sort(np.argsort(-matrix[:-1].sum(1), kind='stable')[:MAX_CLASSES])
        matrix = matrix[np.ix_([*kept, len(names)], [*kept, len(names)])]
    else:
        kept = np.arange(len(names))
    labels = [as_text(names[k], int(k) + 1) for k in kept]
    side = min(max(4.5, 0.42 * len(matrix) + 1.5), 14)
    figure = Figure(figsize=(side + 0.8, side), dpi=100, layout='constrained')
    axes = figure.add_subplot()
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    image = axes.imshow(shares, cmap='Blues', vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, shrink=0.7, label='share of the row')
    ticks, size = np.arange(len(matrix)), 8 if len(matrix) <= 40 else 5
    axes.set_xticks(ticks, [*labels, 'missed'], rotation=90, fontsize=size)
    axes.set_yticks(ticks, [*labels, 'background'], fontsize=size)
    axes.set(xlabel='predicted', ylabel='truth')
    if len(names) <= MAX_NUMBERS:
        for (row, column), count in np.ndenumerate(matrix):
            if count:
                color = 'white' if shares[row, column] > 0.5 else 'black'
                axes.text(column, row, str(count), ha='center', va='center', fontsize=7, color=color)
    figure.savefig(path)
