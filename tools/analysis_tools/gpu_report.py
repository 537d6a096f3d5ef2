"""Measure the GPU tables of docs/performance.md in a few minutes: ``gpu_report.py --out report/``.

Training steps of SpaRTAN and of other classifiers come first, then those of detectors, one image, throughput, and the
slowest kernels. Last come throughput in further precisions and further forms. FOLDER/report.md and FOLDER/report.json
are written after each measurement: a run that is killed keeps what it has. A measurement that fails is named with its
reason, and so are those for which no time is left. A ratio is a time relative to that of the table's first row.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from mmspartan_cli import parse


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, required=True, metavar='FOLDER')
    parser.add_argument('--minutes', type=float, default=8, help='time for all measurements')
    parser.add_argument(
        '--jobs', type=int, help='models that are built at once; by default half of the cores, one for 16 GB of the GPU'
    )
    parser.add_argument('--dry-run', action='store_true', help='tiny images on the CPU; the figures mean nothing')
    args = parse(parser)
    if args.minutes <= 0 or (args.jobs or 1) < 1:
        parser.error('--minutes and --jobs: must be positive')
    return args


if __name__ == '__main__':
    args = parse_args()  # before the imports that take seconds

import torch

from mmspartan.benchmark.record import machine
from mmspartan.benchmark.report import Measurement, fill, write
from mmspartan.benchmark.workers import Settings
from mmspartan.commands.command import command
from mmspartan.errors import InputError

CONFIGS = Path(__file__).parents[2] / 'configs'
T, XT = str(CONFIGS / 'spartan_t_in1k.py'), str(CONFIGS / 'spartan_xt_in1k.py')
DETECTORS = [str(CONFIGS / f'rtdetr_{name}_coco.py') for name in ('spartan_t', 'spartan_xt', 'r18vd')]
RTDETR = DETECTORS[-1]
REFERENCE, RESNET = 'reference-t', 'timm/resnet18'
CONVOLUTIONS = ('timm/mobileone_s1', 'timm/efficientnet_b0', 'timm/convnext_atto')
CLASSIFIERS = (T, REFERENCE, XT, RESNET, *CONVOLUTIONS, 'mmpretrain::van/van-tiny_8xb128_in1k.py')


def rows(
    whats: Sequence[str], forms: str, dtype: str, batch_size: int, size: int = 224, train: bool = False, **other: str
) -> Iterator[Measurement]:
    """Yield a measurement of each model in each form, all in one table; the dtype ``TF32`` is a way of float32."""
    tf32 = dtype == 'TF32'
    settings = Settings(batch_size, size, train, 'float32' if tf32 else dtype, tf32, 2, 'cuda')
    for what in whats:
        for form in forms.split():
            yield Measurement(what, form, settings, **other)


def throughput(dtype: str) -> Iterator[Measurement]:
    yield from rows((T,), 'eager cl deploy', dtype, 256)
    yield from rows((REFERENCE,), 'eager', dtype, 256)
    yield from rows((RESNET,), 'cl', dtype, 256)
    yield from rows(CONVOLUTIONS, 'deploy', dtype, 256)


ONE_IMAGE = 'eager deploy+compile deploy+graph'
# In the order of measurement. Rows of one table may stand at several places.
PLAN = [
    *rows((T,), 'regions', 'bfloat16', 128, train=True),
    *rows(CLASSIFIERS, 'eager compile', 'bfloat16', 128, train=True),
    *rows(CLASSIFIERS, 'eager compile', 'float16', 128, train=True),
    *rows(DETECTORS, 'eager', 'bfloat16', 4, 640, train=True),
    *rows(DETECTORS, 'eager', 'float32', 4, 640, train=True),
    *rows(DETECTORS, 'regions', 'bfloat16', 4, 640, train=True),
    *rows((T, RESNET), ONE_IMAGE, 'float16', 1),
    *rows((REFERENCE,), 'eager', 'float16', 1),
    *rows(CONVOLUTIONS, 'deploy deploy+graph', 'float16', 1),
    *rows((DETECTORS[0], RTDETR), ONE_IMAGE, 'float16', 1, 640),
    *rows((T, RESNET), 'eager deploy deploy+compile', 'float16', 256),
    *rows((REFERENCE,), 'eager', 'float16', 256),
    *rows(CONVOLUTIONS, 'deploy deploy+compile', 'float16', 256),
    *rows((T,), 'eager compile', 'bfloat16', 128, train=True, request='kernels'),
    # what docs/performance.md has besides
    *rows((DETECTORS[0], RTDETR), 'eager', 'float32', 1, 640),
    *rows((T,), 'cl with_cp', 'float16', 128, train=True),
    *rows((RESNET,), 'cl', 'float16', 128, train=True),
    *rows((T,), 'cl deploy', 'float16', 1),
    *rows((T, RESNET), 'cl', 'float16', 256),
    *(row for dtype in ('bfloat16', 'TF32', 'float32') for row in throughput(dtype)),
]


def dry(plan: list[Measurement]) -> list[Measurement]:
    """Return two measurements of each table, in forms without a compiler, of tiny images in float32 on the CPU."""
    kept: list[Measurement] = []
    for row in plan:
        size = {224: 64, 640: 128}[row.settings.size]  # a detector selects 300 positions
        few = min(row.settings.batch_size, 2)
        tiny = replace(row.settings, batch_size=few, size=size, dtype='float32', tf32=False, device='cpu')
        row = replace(row, settings=tiny)
        if row.form in ('eager', 'deploy') and sum(row.table == other.table for other in kept) < 2:
            kept.append(row)
    return kept


@command()
def main(args: argparse.Namespace) -> None:
    if not args.dry_run and not torch.cuda.is_available():
        raise InputError('no GPU; --dry-run tries the report on the CPU')
    began, cores = time.monotonic(), os.cpu_count() or 1
    if args.dry_run:
        plan, jobs = dry(PLAN), 1
        head = {'dry run': 'on a CPU with tiny images, the figures mean nothing', 'machine': machine('cpu')}
    else:
        memory = torch.cuda.get_device_properties(0).total_memory / 1e9
        plan, jobs = [replace(row) for row in PLAN], int(max(1, min(cores // 2, memory // 16)))
        head = {'machine': machine('cuda'), 'CUDA': torch.version.cuda}
    jobs = args.jobs or jobs
    head |= {'torch': torch.__version__, 'cores': cores, 'models built at once': jobs}

    def save() -> None:
        write(args.out, head | {'seconds': round(time.monotonic() - began)}, plan)

    os.environ.setdefault('TORCHINDUCTOR_COMPILE_THREADS', str(max(1, cores // jobs)))
    # an empty cache, so that seconds to compile do not depend on earlier runs
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as cache:
        os.environ.setdefault('TORCHINDUCTOR_CACHE_DIR', cache)
        fill(plan, args.minutes, save, jobs, 2 if args.dry_run else 5, partial(print, flush=True))
    print(f'written to {args.out / "report.md"}')


if __name__ == '__main__':
    main(args)
