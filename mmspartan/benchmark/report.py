"""A report of many measurements in a limited time, which keeps what it has if it is killed.

Measurements are data. Those of a group build and compile their models at once, each in a process of its own. Then each
is measured alone, and both files of the report are written anew.
"""

import json
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..checkpoints.checkpoint import AtomicLocalBackend
from ..errors import InputError
from ..markdown import table_lines
from .models import check
from .workers import Measured, Settings, Worker

OUT_OF_TIME = 'out of time'
BUILD_LIMIT = 180  # seconds, so that one model that compiles forever does not use up the time of all
ROUND_LIMIT = 60  # seconds of a round, which takes about 0.3
WARM_UP = 1  # rounds that do not count


@dataclass
class Measurement:
    """A model in a form, and what was measured of it.

    Attributes:
        what: Name of the model, as in ``benchmark.py``.
        form: Its form.
        settings: Batch, size, precision and the like.
        request: ``'turn'`` for times, or ``'kernels'`` for the slowest kernels.
        measured: Times and memory, of the request ``'turn'``.
        kernels: Name, launches and milliseconds of each kernel, of the request ``'kernels'``.
        reason: Why it was not measured, in one line.
    """

    what: str
    form: str
    settings: Settings
    request: str = 'turn'
    measured: Measured | None = None
    kernels: list[tuple[str, float, float]] | None = None
    reason: str | None = 'the run ended before its turn'

    @property
    def name(self) -> str:
        return f'{self.model} {self.form}'

    @property
    def model(self) -> str:
        return Path(self.what).stem if self.what.endswith('.py') else self.what.removeprefix('timm/')

    @property
    def table(self) -> str:
        """The title of the table to which the measurement belongs."""
        settings = self.settings
        kind = 'Training step' if settings.train else 'Inference'
        images = 'one image' if settings.batch_size == 1 else f'{settings.batch_size} images'
        precision = 'TF32' if settings.tf32 else settings.dtype
        autocast = ' autocast' if settings.train and settings.dtype != 'float32' else ''
        title = f'{kind}, {images} of {settings.size} pixels, {precision}{autocast}'
        return title if self.request == 'turn' else f'{title}: slowest kernels of {self.name}'

    @property
    def median(self) -> float | None:
        """Milliseconds of a run, if it was measured."""
        return self.measured.quartiles()[1] if self.measured else None

    @property
    def compilation(self) -> float | None:
        """Seconds by which the first run was longer than later ones."""
        if self.median is None or self.measured is None or self.measured.first is None:
            return None
        return (self.measured.first - self.median) / 1e3

    def outcome(self) -> str:
        if self.reason:
            return f'not measured: {self.reason}'
        return f'{self.median:.2f} ms' if self.kernels is None else f'{self.kernels[0][1]:.0f} launches'


def fill(
    plan: Sequence[Measurement],
    minutes: float,
    save: Callable[[], None],
    jobs: int = 1,
    rounds: int = 5,
    tell: Callable[[str], None] = print,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Measure a plan in its order, and put the results into it. A failure is noted, and the next one follows.

    Args:
        plan: What to measure.
        minutes: After these minutes the remaining measurements are left out.
        save: Is called at the start and after each measurement.
        jobs: How many models are built at once, and wait in memory for their turn.
        rounds: Rounds of each model that count, at least 2.
        tell: Is called with a line after each measurement.
        clock: The time in seconds.
    """
    began = clock()

    def left() -> float:
        if (seconds := began + 60 * minutes - clock()) <= 0:
            raise TimeoutError(OUT_OF_TIME)
        return seconds

    save()
    done = 0
    for first in range(0, len(plan), jobs):
        waiting = [(row, _steps(row, rounds, left)) for row in plan[first : first + jobs]]
        try:
            while waiting:
                for row, steps in list(waiting):
                    try:
                        next(steps)
                        continue
                    except StopIteration:
                        row.reason = None
                    except Exception as error:
                        row.reason = _one_line(error)
                    waiting.remove((row, steps))
                    done += 1
                    save()
                    tell(f'[{done}/{len(plan)}] {clock() - began:.0f} s: {row.table}, {row.name}: {row.outcome()}')
        finally:  # also of Ctrl-C
            for _, steps in waiting:
                steps.close()


def _steps(row: Measurement, rounds: int, left: Callable[[], float]) -> Generator[None, None, None]:
    """Measure a model, with a pause after the start of its process and one after it is built."""
    left()
    check(row.what, row.form, row.settings.device)
    worker = Worker(row.what, row.form, row.settings)
    try:
        yield
        try:
            facts = worker.answer(min(BUILD_LIMIT, left()))
        except TimeoutError:
            left()  # raises if it was the time of all that ended
            raise
        measured = Measured(row.name, **facts, times=[])
        yield
        left()
        if row.request == 'kernels':
            row.kernels = worker.ask('kernels', ROUND_LIMIT)
        else:
            measured.times = [worker.ask('turn', ROUND_LIMIT) for _ in range(WARM_UP + rounds)][WARM_UP:]
            row.measured = measured
    finally:
        worker.close(patience=0)


def _one_line(error: Exception) -> str:
    """Return the message of an error without its traceback, which workers send after an empty line."""
    message = ' '.join(str(error).partition('\n\n')[0].split())[:200]
    return (
        message if isinstance(error, InputError | RuntimeError | TimeoutError) else f'{type(error).__name__}: {message}'
    )


def write(folder: Path, head: dict[str, Any], plan: Iterable[Measurement]) -> None:
    """Write ``report.json`` and ``report.md``, each of them at once: a reader or a kill never finds half a file."""
    plan = list(plan)
    content = dict(head, measurements=[dict(asdict(row), table=row.table) for row in plan])
    AtomicLocalBackend().put_text(json.dumps(content, indent=1), folder / 'report.json')
    AtomicLocalBackend().put_text(as_markdown(head, plan), folder / 'report.md')


def as_markdown(head: dict[str, Any], plan: Sequence[Measurement]) -> str:
    lines = ['# Times and memory', '', *(f'- {name}: {value}' for name, value in head.items())]
    lines += ['', 'Each ratio is relative to the first row of its table: 0.50x is half of its time.']
    for table in dict.fromkeys(row.table for row in plan):
        rows = [row for row in plan if row.table == table]
        lines += ['', f'## {table}', '', *(_kernels(rows[0]) if rows[0].request == 'kernels' else _times(rows))]
    compiled = [row for row in plan if row.request == 'turn' and row.form.endswith(('compile', 'graph'))]
    if compiled:
        lines += ['', '## Seconds to compile', '', 'The first run minus the median of later ones.', '']
        cells = [
            [row.model, row.form, row.table, *_with_ratio(row, row.compilation, compiled[0].compilation, '.1f')]
            for row in compiled
        ]
        lines += _markdown(['model', 'form', 'of', 'seconds', 'ratio'], cells)
    return '\n'.join(lines) + '\n'


def _times(rows: list[Measurement]) -> list[str]:
    cells = []
    for row in rows:
        cells.append([row.model, row.form, *_with_ratio(row, row.median, rows[0].median, '.2f')])
        if row.median and row.measured:
            low, _, high = row.measured.quartiles()
            memory = row.measured.peak_memory
            speed = f'{row.settings.batch_size / row.median * 1e3:.4g}'
            cells[-1] += [f'{low:.2f} to {high:.2f}', speed, '-' if memory is None else f'{memory / 1e9:.2f} GB']
    return _markdown(['model', 'form', 'ms', 'ratio', 'quartiles', 'images/s', 'peak memory'], cells)


def _with_ratio(row: Measurement, value: float | None, first: float | None, digits: str) -> list[str]:
    if value is None:
        return [row.outcome(), '']
    return [format(value, digits), f'{value / first:.2f}x' if first else '']


def _kernels(row: Measurement) -> list[str]:
    if not row.kernels:
        return [row.outcome()]
    whole = row.kernels[0][2]
    cells = [[name[:120], f'{count:.0f}', f'{ms:.3f}', f'{ms / whole:.3f}x'] for name, count, ms in row.kernels]
    return _markdown(['kernel', 'launches a run', 'ms a run', 'ratio'], cells)


def _markdown(columns: list[str], rows: Iterable[list[str]]) -> list[str]:
    return table_lines(
        columns, [[cell.replace('|', '/') for cell in row] + [''] * (len(columns) - len(row)) for row in rows]
    )
