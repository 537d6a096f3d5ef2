"""Measure a training step alone and beside busy processes, for several settings of OpenMP: ``benchmark_openmp.py``.

Each setting has a process of its own, and they take turns. The first setting is the one that ratios are relative to.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
from contextlib import ExitStack

from mmspartan_cli import parse

STEPS = """
import logging, sys, time, warnings
import torch
from mmspartan.benchmark.models import runner
warnings.simplefilter('ignore'); logging.disable(logging.WARNING)
what, batch, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
run = runner(what, 'eager', torch.randn(batch, 3, size, size), True, torch.float32, {})[1]
run()
print('ready', flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    run()
    print(time.perf_counter() - start, flush=True)
"""
SETTINGS = ('none', 'GOMP_SPINCOUNT=10000', 'OMP_WAIT_POLICY=PASSIVE', 'OMP_NUM_THREADS=1')


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', nargs='?', default='configs/spartan_xt_in1k.py', help='config file')
    parser.add_argument('--settings', nargs='+', default=SETTINGS, help='NAME=VALUE of the environment, or none')
    parser.add_argument('--batch-size', type=int, default=8)
    parser.add_argument('--size', type=int, default=160, help='side of the images')
    parser.add_argument('--busy', type=int, default=2, help='number of busy processes')
    parser.add_argument('--rounds', type=int, default=10, help='steps of each setting, alone and beside')
    return parse(parser)


def start(setting: str, args: argparse.Namespace) -> subprocess.Popen:
    openmp = ('OMP_', 'GOMP_', 'KMP_')
    env = {key: value for key, value in os.environ.items() if not key.startswith(openmp)}
    env.update([setting.split('=', 1)] if '=' in setting else [])
    command = [sys.executable, '-c', STEPS, args.config, str(args.batch_size), str(args.size)]
    return subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def step(process: subprocess.Popen) -> float:
    """Return the seconds of a training step."""
    process.stdin.write('\n')
    process.stdin.flush()
    return float(process.stdout.readline())


def measure(processes: list[subprocess.Popen], rounds: int) -> list[float]:
    """Return the median seconds of a step of each process."""
    times = []
    for _ in range(rounds):
        times.append([step(process) for process in processes])
        print(' '.join(f'{seconds:.2f}' for seconds in times[-1]), file=sys.stderr, flush=True)
    return [statistics.median(column) for column in zip(*times)]


def main(args: argparse.Namespace) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ends the processes
    with ExitStack() as stack:
        processes = []
        for setting in args.settings:
            processes.append(stack.enter_context(start(setting, args)))
            stack.callback(processes[-1].kill)
            if 'ready\n' not in processes[-1].stdout:  # reads up to this line
                raise SystemExit(f'{args.config}: its training step failed')
        alone = measure(processes, args.rounds)
        for _ in range(args.busy):
            busy = stack.enter_context(subprocess.Popen([sys.executable, '-c', 'while True: pass']))
            stack.callback(busy.kill)
        beside = measure(processes, args.rounds)
    print(f'| setting | alone | beside {args.busy} busy processes |\n| --- | --- | --- |')
    for setting, *seconds in zip(args.settings, alone, beside):
        cells = (f'{1e3 * t:.0f} ms, {t / base:.2f}x' for t, base in zip(seconds, (alone[0], beside[0])))
        print(f'| `{setting}` | {" | ".join(cells)} |')


if __name__ == '__main__':
    main(parse_args())
