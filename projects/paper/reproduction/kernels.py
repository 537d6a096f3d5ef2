"""Larger kernels in the SMixer (the paper's outlook, Sec. V), in the small network of :mod:`.miniature`.

The low-frequency branch has one large kernel or two stacked ones, with dilation 2 or as the name says.
"""

from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev

from mmspartan.markdown import table_lines

from .counts import costs
from .miniature import run, trainings
from .order import differences
from .runs import Run
from .training import Command

# The networks of each folder; the first one has the published kernels, two stacked 3x3 with dilation 2.
CONFIGS = {
    'miniature': (
        'miniature/spartan_xt',
        *(f'kernels/{name}' for name in ('3_3_dilation_1', '3_3_dilation_3', '5', '5_5', '7', '7_7', '7_small')),
    ),
    'photographs': (
        'photographs/spartan_xt',
        *(f'kernels/photographs_{name}' for name in ('3_3_dilation_1', '5_5', '7_7', '7_small')),
    ),
}


def needed(work_dirs: str | Path, seeds: int, images: str = 'miniature') -> Iterator[tuple[Run, str, int]]:
    """Iterate over run, config and seed of the trainings that are compared."""
    return trainings(CONFIGS[images], work_dirs, seeds)


def commands(work_dirs: str | Path, seeds: int, images: str = 'miniature') -> Iterator[Command]:
    """Iterate over nothing: the trainings are all there is to run."""
    return iter(())


def markdown(work_dirs: str | Path, seeds: int, images: str = 'miniature') -> str:
    """Return accuracy and costs of each network, and the difference from the published kernels."""
    scores: dict[str, list[float]] = {}
    for config in CONFIGS[images]:
        metrics = [found for found in (run(config, work_dirs, seed).metrics() for seed in range(seeds)) if found]
        if len(metrics) < seeds:
            return f'{config}: not trained with {seeds} seeds.\n'
        scores[config] = [found['accuracy/top1'] for found in metrics]
    compared, body = differences(scores), []
    for config, values in scores.items():
        count, difference = costs(config, None, False), compared.get((config, CONFIGS[images][0]))
        body.append(
            [
                f'`{config}`',
                f'{mean(values):.2f} ± {stdev(values):.2f}',
                f'{difference.mean:+.2f} ± {difference.margin:.2f}' if difference else '',
                f'{count["parameters"] / 1e6:.3f}',
                f'{count["macs"] / 1e6:.1f}',
            ]
        )
    heads = ['config', 'top-1 (%)', 'difference', 'parameters (M)', 'multiply-adds (M)']
    return '\n'.join(table_lines(heads, body)) + '\n'
