"""Draw losses and metrics of trainings, a panel for each: ``plot_curves.py SCALARS [...] --keys loss --out FILE``.

SCALARS is ``WORK_DIR/TIME/vis_data/scalars.json``, or a work dir with the logs of all runs of a training that was
interrupted. Steps of the training are drawn over iterations, evaluations over epochs.
"""

import argparse
import json
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('log', nargs='+', type=Path, help='scalars.json, or work dir')
    parser.add_argument('--keys', nargs='+', default=['loss'], help='names of losses and metrics, loss by default')
    parser.add_argument('--out', required=True, type=Path, help='image to write')
    return parser.parse_args()


def read(log: Path) -> list[dict]:
    """Return the entries of a log, of a work dir those of all its runs in their order."""
    files = sorted(log.glob('*/vis_data/scalars.json')) if log.is_dir() else [log]
    if not files or not all(file.is_file() for file in files):
        raise SystemExit(f'{log}: no such log')
    try:
        return [json.loads(line) for file in files for line in file.read_text().splitlines() if line]
    except ValueError as error:
        raise SystemExit(f'{log}: not a log of a training: {error}') from None


def curve(entries: list[dict], key: str) -> tuple[str, list[int], list[float]]:
    """Return the name of the axis, the steps and the values of a key; a resumed run replaces what follows it."""
    by_epoch = any('epoch' in entry for entry in entries)
    # an evaluation is logged with the epoch as its step, and without an epoch
    is_evaluated = by_epoch and not any('epoch' in entry for entry in entries if key in entry)
    points: list[tuple[int, float]] = []
    for entry in entries:
        if {key, 'step'} <= entry.keys():
            if points and entry['step'] <= points[-1][0]:
                points = [point for point in points if point[0] < entry['step']]
            points.append((entry['step'], entry[key]))
    return 'Epoch' if is_evaluated else 'Iteration', [step for step, _ in points], [value for _, value in points]


def main():
    args = parse_args()
    logs = {log: read(log) for log in args.log}
    known = sorted({key for entries in logs.values() for entry in entries for key in entry})
    figure = Figure(figsize=(5 * len(args.keys), 3.6), layout='constrained')
    for panel, key in zip(figure.subplots(1, len(args.keys), squeeze=False)[0], args.keys):
        if key not in known:
            raise SystemExit(f'--keys {key}: not in the log; it has {", ".join(known)}')
        for log, entries in logs.items():
            axis, steps, values = curve(entries, key)
            panel.plot(steps, values, marker='o' if len(steps) < 20 else '', label=str(log))
        panel.set(xlabel=axis, ylabel=key)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(alpha=0.3)
        if len(logs) > 1:
            panel.legend()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.out, dpi=120)
    print(args.out)


if __name__ == '__main__':
    main()
