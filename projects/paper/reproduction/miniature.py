"""The paper in miniature: rows of its tables as small networks on real data.

A row of ``configs/ablations/`` or of Table III has a small network of the same name in ``configs/miniature/``, which is
trained several times, with one seed each. What is compared is the order of the rows, not their accuracies. The digits
of ``configs/miniature/`` need no download; ``configs/photographs/`` has the same networks for CIFAR-10, which does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from .runs import Run, run_name
from .tables import COLUMNS, TABLES, Row, Table

# The tables of each folder of small networks. Table V is left out: its two rows differ by 0.03 points.
NUMBERS = {'miniature': (3, 4, 6, 7, 8), 'photographs': (4,)}
DETECTORS = ('rtdetr_r18vd_coco', 'rtdetr_spartan_xt_coco')


def small(config: str, folder: str = 'miniature') -> str:
    """Return the name of the config of a row's small network. Rows of one network share it."""
    return f'{folder}/{run_name(config).removesuffix("_in1k").removesuffix("_coco")}'


def tables(folder: str = 'miniature') -> list[Table]:
    """Return the paper's tables with the rows that have a small network, whose configs take the place of the rows'."""
    chosen = [table for table in TABLES if table.number in NUMBERS[folder]]
    return [
        replace(
            table,
            rows=tuple(
                replace(row, config=small(row.config, folder))
                for row in table.rows
                if table.number != 3 or row.config in DETECTORS
            ),
        )
        for table in chosen
    ]


def networks(folder: str = 'miniature') -> list[str]:
    """Return the configs of all rows, the long ones, the detectors', first."""
    return list(dict.fromkeys(row.config for table in tables(folder) for row in table.rows))


def trainings(configs: Sequence[str], work_dirs: str | Path, seeds: int) -> Iterator[tuple[Run, str, int]]:
    """Iterate over run, config and seed of all trainings, seed by seed."""
    for seed in range(seeds):
        for config in configs:
            yield run(config, work_dirs, seed), config, seed


def run(config: str, work_dirs: str | Path, seed: int) -> Run:
    """Return the training of a small network with one seed."""
    return Run(config, Path(work_dirs, Path(config).parent, f'seed{seed}'))


def scores(table: Table, row: Row, work_dirs: str | Path, seeds: int) -> list[float] | None:
    """Return a row's accuracies in points (of 100), one for each seed; None if a training is not finished."""
    column, found = COLUMNS[table.score], []
    for seed in range(seeds):
        metrics = run(row.config, work_dirs, seed).metrics()
        if metrics is None:
            return None
        found.append(metrics[str(column.metric)] / column.scale)
    return found
