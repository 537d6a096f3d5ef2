"""Print the paper's tables with this package's figures beside the published ones, or plan the trainings they take.

table2 ... table8, all: parameters, FLOPs, memory, for Table VIII images a second, and accuracies of finished trainings
schedule:    what must be trained, with commands
miniature:   which of the paper's orders small networks of the ablations and two detectors show on handwritten digits
photographs: the same for Table IV on CIFAR-10
pruning:     what the first of the small networks loses when it is pruned and fine-tuned
low-bits:    what it loses in INT8 and below
near-ties:   which of its predictions change in lower precision, and which of the package's classifier on CIFAR-10
kernels:     the same network with larger kernels
             (pruning, low-bits and kernels with --images photographs: on CIFAR-10)
peers:       networks of Table II by a short form of the recipe of spartan_xt_cifar10

From "miniature" on, networks that are not trained yet are trained first. CIFAR-10 is expected in data/cifar10.
"""

import argparse
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the checkout

from mmspartan_cli import parse
from projects.paper.reproduction.tables import COLUMNS, TABLES, Row, Table

OTHERS = ('schedule', 'miniature', 'photographs', 'pruning', 'low-bits', 'near-ties', 'kernels', 'peers')


def parse_args():
    names = [f'table{table.number}' for table in TABLES]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('what', nargs='+', choices=[*names, 'all', *OTHERS])
    parser.add_argument('--work-dirs', default='work_dirs', help='folder of trainings, work_dirs by default')
    parser.add_argument('--out', help='folder for Markdown, CSV and plots, or for the scripts of the schedule')
    parser.add_argument('--gpus', type=int, default=8, help='of a training in the schedule, 8 by default')
    parser.add_argument('--batch-size', type=int, help='of Table VIII; 1024 on a GPU and 8 on a CPU by default')
    parser.add_argument('--rounds', type=int, default=10, help='turns of each model for Table VIII, 10 by default')
    parser.add_argument('--device', help='for Table VIII; cuda if there is a GPU, or else cpu, by default')
    parser.add_argument('--seeds', type=int, default=3, help='trainings of each network in miniature, 3 by default')
    parser.add_argument(
        '--jobs',
        type=int,
        default=len(os.sched_getaffinity(0)),
        help='trainings in miniature at a time, one for each core by default; 0 prints what there is',
    )
    parser.add_argument(
        '--images',
        choices=['miniature', 'photographs'],
        default='miniature',
        help='of pruning, low-bits and kernels: those of MNIST, "miniature", by default, or those of CIFAR-10',
    )
    args = parse(parser)
    if args.images == 'photographs' and not set(args.what) <= {'pruning', 'low-bits', 'kernels'}:
        raise SystemExit('--images photographs: can be given for pruning, low-bits and kernels alone')
    return args


if __name__ == '__main__':
    os.environ.setdefault('KINETO_LOG_LEVEL', '6')  # else the profiler, which counts memory, reports start and stop
    args = parse_args()  # before the imports that take seconds

import torch

from projects.paper.reproduction import low_bits, miniature, near_ties, pruning
from projects.paper.reproduction.configs import ROOT, config_path
from projects.paper.reproduction.counts import counted
from projects.paper.reproduction.miniature_table import markdown as results_in_miniature
from projects.paper.reproduction.networks import KERNELS, PEERS
from projects.paper.reproduction.plot import draw
from projects.paper.reproduction.render import as_csv, markdown
from projects.paper.reproduction.runs import Run
from projects.paper.reproduction.schedule import overview, shell_script, slurm_array, trainings
from projects.paper.reproduction.throughput import throughput
from projects.paper.reproduction.training import Command, run_all

QUESTIONS: dict[str, Any] = {
    'pruning': pruning,
    'low-bits': low_bits,
    'near-ties': near_ties,
    'kernels': KERNELS,
    'peers': PEERS,
}


def progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f'\r{text:70}', end='', file=sys.stderr, flush=True)


def results(table: Table, args: argparse.Namespace) -> list[dict]:
    """Return the figures of each row: counts, metrics of a finished training, images a second."""
    found: list[dict] = []
    for row in table.rows:
        progress(f'table {table.number}: {row.name}')
        metrics = Run(row.config, args.work_dirs).metrics() or {}
        trained = {name: metrics.get(column.metric) for name, column in COLUMNS.items() if column.metric}
        found.append({**counted(row), **{name: value for name, value in trained.items() if value is not None}})
    if 'throughput' in table.columns:
        rates = throughput([row.config for row in table.rows], args.batch_size, args.rounds, args.device, progress)
        for row, values in zip(table.rows, found):
            values['throughput'] = rates[row.config]
    progress('')
    return found


def machine(args: argparse.Namespace) -> str:
    threads = torch.get_num_threads()
    where = f'{threads} CPU thread{"s" if threads > 1 else ""}'
    if args.device.startswith('cuda'):
        where = torch.cuda.get_device_name()
    return (
        f'Images a second: {where}, batch {args.batch_size}, float32, mean and standard deviation of {args.rounds} '
        'rounds. The paper has an A100 and batch 1024.\n'
    )


def multiply_adds(row: Row) -> float:
    progress(f'multiply-adds of {row.config}')
    return counted(row, memory=False)['macs']


def train_in_miniature(needed: Iterable[tuple[Run, str, int]], args: argparse.Namespace) -> None:
    """Train the small networks that are needed and not trained yet, by run, config and seed."""
    left = [(run, config, seed) for run, config, seed in needed if not run.metrics()]
    tools = ROOT / 'tools'
    if any('rtdetr' in config for _, config, _ in left):
        make_scenes = [sys.executable, str(tools / 'dataset_converters' / 'digits_to_coco.py')]
        subprocess.run(make_scenes, check=True, stdout=sys.stderr)
    commands = []
    for run, config, seed in left:
        words = [sys.executable, str(tools / 'train.py'), config_path(config), '--work-dir', str(run.folder)]
        words += ['--cfg-options', f'randomness.seed={seed}']
        commands.append(Command(f'{config} seed {seed}', words, run.folder / 'train.log'))
    run_or_end(commands, args.jobs)


def run_or_end(commands: Sequence[Command], jobs: int) -> None:
    """Run commands, and end with the names of those that failed."""
    if not commands:
        return
    print(f'{len(commands)} runs are left, {jobs} at a time', file=sys.stderr, flush=True)
    failed = run_all(commands, jobs, lambda line: print(line, file=sys.stderr, flush=True))
    if failed:
        raise SystemExit(f'failed: {", ".join(command.name for command in failed)}; their logs: {failed[0].log}, ...')


def main(args: argparse.Namespace) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ends the runs that have not begun
    if args.seeds < 2:
        raise SystemExit('--seeds: a spread takes at least 2')
    if args.rounds < 2:
        raise SystemExit('--rounds: a standard deviation takes at least 2')
    args.device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
    args.batch_size = args.batch_size or (1024 if args.device.startswith('cuda') else 8)
    logging.disable(logging.WARNING)
    out = Path(args.out) if args.out else None
    if out:
        out.mkdir(parents=True, exist_ok=True)

    for table in TABLES:
        if not {f'table{table.number}', 'all'} & set(args.what):
            continue
        values = results(table, args)
        text = markdown(table, values) + (f'\n{machine(args)}' if 'throughput' in table.columns else '')
        print(text, flush=True)
        if out:
            (out / f'table{table.number}.md').write_text(text)
            (out / f'table{table.number}.csv').write_text(as_csv(table, values))
            draw(table, values, out / f'table{table.number}.png')

    for folder in miniature.NUMBERS:
        if folder not in args.what:
            continue
        if args.jobs > 0:
            train_in_miniature(miniature.trainings(miniature.networks(folder), args.work_dirs, args.seeds), args)
        tables = miniature.tables(folder)
        text = '\n'.join(results_in_miniature(table, args.work_dirs, args.seeds) for table in tables)
        print(text, flush=True)
        if out:
            (out / f'{folder}.md').write_text(text)

    for name, question in QUESTIONS.items():
        if name not in args.what:
            continue
        where = args.work_dirs, args.seeds, 'photographs' if question is PEERS else args.images
        if args.jobs > 0:
            train_in_miniature(question.needed(*where), args)
            run_or_end(list(question.commands(*where)), args.jobs)
        text = question.markdown(*where)
        print(text, flush=True)
        if out:
            target = out / (f'{name}-photographs.md' if args.images == 'photographs' else f'{name}.md')
            target.write_text(text)
            if question is pruning and '|' in text:
                pruning.draw(*where, target.with_suffix('.png'))

    if 'schedule' in args.what:
        planned = list(trainings(TABLES, args.work_dirs, multiply_adds))
        progress('')
        files = {
            'schedule.md': overview(planned, args.gpus),
            'schedule.sh': shell_script(planned, args.gpus),
            'schedule.sbatch': slurm_array(planned, args.gpus),
        }
        print(files['schedule.md'] if out else '\n'.join(files.values()))
        if out:
            for name, text in files.items():
                (out / name).write_text(text)


if __name__ == '__main__':
    main(args)
