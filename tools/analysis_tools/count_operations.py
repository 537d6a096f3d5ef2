"""Count the operations that a training step and an inference launch on a GPU: ``count_operations.py CONFIG ...``.

They are counted on a CPU, in the forms for GPUs, on small images: their number does not depend on the size. Small
batches leave a GPU idle while the host launches the next operation, so the time of a step is their number.
"""

import argparse
from pathlib import Path

from mmspartan_cli import parse


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', nargs='+', help='config file of a detector or classifier')
    parser.add_argument('--batch-size', type=int, default=4, help='images of a training step')
    parser.add_argument('--size', type=int, default=128, help='side of the images')
    return parse(parser)


if __name__ == '__main__':
    args = parse_args()  # before the imports that take seconds

from collections import Counter

from mmengine.config import Config

from mmspartan.benchmark.operations import count_inference, count_training_step
from mmspartan.commands.command import command
from mmspartan.markdown import table_lines

FORMS = {
    'one image': {},
    'one image, deployed': dict(deploy=True),
    'one image, detectors by a CUDA graph': dict(graph=True),
}


def print_table(title: str, counts: dict[str, Counter[str]]) -> None:
    parts = [part for part, _ in sum(counts.values(), Counter()).most_common()]
    rows = [[part, *(f'{of[part]:,}' for of in counts.values())] for part in parts]
    rows.append(['all', *(f'{of.total():,}' for of in counts.values())])
    print('', *table_lines([title, *counts], rows), sep='\n')


@command()
def main(args: argparse.Namespace) -> None:
    configs = {Path(path).stem: Config.fromfile(path) for path in args.config}
    print_table(
        'training step', {name: count_training_step(cfg, args.batch_size, args.size) for name, cfg in configs.items()}
    )
    for title, form in FORMS.items():
        print_table(title, {name: count_inference(cfg, args.size, **form) for name, cfg in configs.items()})


if __name__ == '__main__':
    main(args)
