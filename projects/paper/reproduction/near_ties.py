"""Which predictions change in lower precision: the channel argmax of the CMixer is not continuous.

Two trained classifiers are evaluated in floating point and in other precisions, without training for them: the one
whose weights are in the package, on CIFAR-10, and the small network of :mod:`.miniature`, on MNIST.

``python -m projects.paper.reproduction.near_ties CONFIG CHECKPOINT OUT.json`` evaluates one of them.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from math import sqrt
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.runner import Runner

import mmspartan
from mmspartan.datasets.calibration import CalibrationImages
from mmspartan.deploy import deploy
from mmspartan.deploy.load import load_model
from mmspartan.markdown import table_lines

from .configs import config_path
from .low_bits import BITS, quantized
from .miniature import trainings
from .runs import Run
from .training import Command

PHOTOGRAPHS, DIGITS = 'spartan_xt_cifar10', 'miniature/spartan_xt'
BF16 = 'BF16'


def evaluate(config: str, checkpoint: str) -> dict[str, dict[str, float]]:
    """Compare the predictions of a trained classifier in each precision with those in floating point.

    Returns:
        For each precision the counts ``images``, ``right``, ``changed`` (other class than in floating point),
        ``gained`` and ``lost`` (right predictions); and ``margin``, the median over the changed predictions of the
        difference between the two highest probabilities in floating point.
    """
    cfg = Config.fromfile(config)
    trained: Any = load_model(cfg, checkpoint)
    images = list(CalibrationImages(cfg, 128))
    batches = [trained.data_preprocessor(batch, False) for batch in Runner.build_dataloader(cfg.val_dataloader)]
    truth = torch.cat([sample.gt_label for batch in batches for sample in batch['data_samples']])
    expected, found = probabilities(trained, batches), {}
    for name, settings in {'float': None, BF16: None, **BITS}.items():
        model = quantized(trained, images, settings) if settings else deploy(trained)
        with torch.autocast('cpu', torch.bfloat16) if name == BF16 else nullcontext():
            found[name] = compare(probabilities(model, batches).argmax(1), expected, truth)
    return found


def compare(labels: torch.Tensor, expected: torch.Tensor, truth: torch.Tensor) -> dict[str, float]:
    """Compare predicted and true labels ``(images,)`` with the probabilities of floating point."""
    first, second = expected.topk(2).values.T
    changed = labels != expected.argmax(1)
    before, right = expected.argmax(1) == truth, labels == truth
    return dict(
        images=len(truth),
        right=int(right.sum()),
        changed=int(changed.sum()),
        gained=int((right & ~before).sum()),
        lost=int((before & ~right).sum()),
        margin=float((first - second)[changed].median()) if changed.any() else 0.0,
    )


@torch.no_grad()
def probabilities(model: Any, batches: list[dict]) -> torch.Tensor:
    """Return the probabilities ``(images, classes)`` of all images."""
    return torch.stack([sample.pred_score.float() for batch in batches for sample in model(**batch, mode='predict')])


def needed(work_dirs: str | Path, seeds: int, images: str = '') -> Iterator[tuple[Run, str, int]]:
    """Iterate over run, config and seed of the one training on digits that is evaluated."""
    return trainings([DIGITS], work_dirs, 1)


def subjects(work_dirs: str | Path) -> dict[str, tuple[str, str, Path]]:
    """Return config, checkpoint and file of results of the two classifiers."""
    ((small, _, _),) = needed(work_dirs, 1)
    folder = Path(work_dirs, 'near_ties')
    return {
        'CIFAR-10': (config_path(PHOTOGRAPHS), mmspartan.weights(PHOTOGRAPHS), folder / 'cifar10.json'),
        'MNIST': (config_path(DIGITS), str(small.folder / f'epoch_{small.epochs}.pth'), folder / 'mnist.json'),
    }


def commands(work_dirs: str | Path, seeds: int, images: str = '') -> Iterator[Command]:
    """Iterate over what is left, a process for each classifier."""
    for name, (config, checkpoint, target) in subjects(work_dirs).items():
        if not target.exists():
            words = [sys.executable, '-m', __name__, config, checkpoint, str(target)]
            yield Command(f'near ties on {name}', words, target.with_suffix('.log'))


def markdown(work_dirs: str | Path, seeds: int, images: str = '') -> str:
    """Return a table for each classifier; differences have half of their 95 % confidence interval over the images."""
    tables = []
    for name, (_, _, target) in subjects(work_dirs).items():
        if not target.exists():
            return f'The classifier of {name} is not evaluated.\n'
        rows = []
        for precision, found in json.loads(target.read_text()).items():
            images, gained, lost = found['images'], found['gained'], found['lost']
            mean = (gained - lost) / images
            margin = 1.96 * sqrt(((gained + lost) / images - mean**2) / images)
            row = [name, precision, f'{100 * found["right"] / images:.2f}']
            if found['changed']:
                row += [f'{100 * mean:+.2f} ± {100 * margin:.2f}', f'{found["changed"]} of {images:,}']
                row.append(f'{found["margin"]:.3f}')
            rows.append([*row, '', '', ''][:6])
        heads = ['images', 'precision', 'top-1 (%)', 'difference', 'other predictions', 'their margin before']
        tables += [*table_lines(heads, rows), '']
    return '\n'.join(tables)


if __name__ == '__main__':
    Path(sys.argv[3]).write_text(json.dumps(evaluate(*sys.argv[1:3])))
