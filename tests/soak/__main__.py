"""``make soak``: runs that signals end, and the memory of long ones; exits with 1 if a figure is wrong."""

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path

from tests.soak.kills import HOW, Training, detector, kill_runs
from tests.soak.memory import grow

MAX_SLOPE = 100.0  # bytes a step; the log's history took 300


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--kills',
        type=int,
        default=100,
        help='a fifth each of one process, two, accumulated gradients, D-FINE and DEIMv2',
    )
    parser.add_argument('--steps', type=int, default=5000, help='training steps, and inferences')
    parser.add_argument('--seed', type=int, default=0)
    return parser.parse_args()


def say(line: str) -> None:
    print(line, flush=True)


def main() -> None:
    args = parse_args()
    failed, rows = False, []
    with tempfile.TemporaryDirectory() as folder:
        fifth = args.kills // 5
        for name, count, training in (
            ('1 process', args.kills - 4 * fifth, Training()),
            ('2 processes', fifth, Training(processes=2)),
            ('accumulation', fifth, Training(options={'optim_wrapper.accumulative_counts': 2})),
            ('D-FINE', fifth, Training(make_config=partial(detector, 'dfine_quick.py'))),
            ('DEIMv2', fifth, Training(make_config=partial(detector, 'deimv2_quick.py'))),
        ):
            figures = kill_runs(Path(folder, name.replace(' ', '_')), training, count, f'{args.seed}/{name}', say)
            rows.append(
                f'{name}: {figures["kills"]} kills of {figures["runs"]} runs; {figures["resumed"]} resumed to the end, '
                f'{figures["equal"]} equal to the unbroken run bit by bit, {figures["leftovers"]} files left over, '
                f'{figures["statuses"]} wrong exit statuses; by '
                + ', '.join(f'{how} {figures[how]}' for how in dict.fromkeys(HOW))
            )
            failed |= not figures['runs'] == figures['resumed'] == figures['equal'] or figures['leftovers'] > 0
            failed |= figures['statuses'] > 0
        for name, slope in (grow(Path(folder, 'memory'), args.steps, say) if args.steps else {}).items():
            rows.append(f'memory grows by {slope:.0f} bytes a step of {name}, over the second half of {args.steps}')
            failed |= slope > MAX_SLOPE
    print('\n' + '\n'.join(rows))
    sys.exit(int(failed))


if __name__ == '__main__':
    main()
