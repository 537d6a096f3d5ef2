"""Measure time and memory of models with random weights: ``benchmark.py MODEL [MODEL ...]``.

A MODEL is ``WHAT`` or ``WHAT@FORM``. WHAT: a config file, or ``PACKAGE::FILE`` for a config of an installed OpenMMLab
package; ``reference-t`` or ``reference-xt``, the unoptimized SpaRTAN with complex tensors; ``timm/NAME``, a classifier
of timm; ``peers``, SpaRTAN and the models of the paper's Table II that timm or mmpretrain have. FORM: ``eager`` (the
default), ``cl`` (channels_last), ``regions`` (compiled block by block, as trainings on GPUs are), ``deploy`` (folded,
channels_last), ``compile``, ``deploy+compile``, ``deploy+graph`` (compiled, and launched as one CUDA graph),
``with_cp`` (channels_last), ``onnxruntime``, ``openvino`` (both from the deployed form), ``int8`` (OpenVINO,
convolutions and linear layers in INT8, calibrated on noise, only for the time). OpenVINO computes a batch in as many
parallel streams as threads, if the batch can be divided into them.

Each model has a process of its own and waits until it is its turn, so that the threads of one library do not disturb
another. Ratios are relative to the first model. A training step is forward and backward of the loss, with a random
ground truth. Peak memory is what a run uses at most in addition to weights and images; that of inference is measured on
GPUs only.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmspartan_cli import CfgOptions, parse, require_config


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model', nargs='+', help='WHAT or WHAT@FORM')
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument('--size', type=int, help="side of the images; the first config's test size, or 224, by default")
    parser.add_argument('--train', action='store_true', help='forward and backward of the loss instead of inference')
    parser.add_argument(
        '--dtype',
        choices=['float32', 'float16', 'bfloat16'],
        default='float32',
        help='of weights and images; with --train of autocast; in OpenVINO of operations',
    )
    parser.add_argument('--tf32', action='store_true', help='TensorFloat-32 in products and convolutions of float32')
    parser.add_argument('--threads', type=int, default=2, help='threads on the CPU')
    parser.add_argument(
        '--repeats', type=int, default=15, help='rounds; in each, every model has a turn of 0.3 seconds'
    )
    parser.add_argument('--device', help='cuda if there is a GPU, or else cpu, by default')
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptions, help='settings that override those of configs')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write all times, for compare_benchmarks.py')
    args = parse(parser)
    for what in (name.partition('@')[0] for name in args.model):
        if what != 'peers' and not what.startswith(('reference-', 'timm/')) and '::' not in what:
            require_config(what)
    return args


if __name__ == '__main__':
    args = parse_args()  # before the imports that take seconds

import torch

from mmspartan.benchmark.models import check, config_of
from mmspartan.benchmark.record import machine, write_record
from mmspartan.benchmark.workers import Measured, Settings, measure, measure_peak
from mmspartan.commands.command import command
from mmspartan.commands.launch import size_of_test_images
from mmspartan.errors import InputError

CONFIGS = Path(__file__).parents[2] / 'configs'
# Models of Table II that timm and mmpretrain have. projects/paper/ has all of them.
PEERS = (
    'timm/resnet18',
    'timm/deit_tiny_patch16_224',
    'mmpretrain::van/van-tiny_8xb128_in1k.py',  # VAN-B0
    'timm/efficientformerv2_s0',
    'timm/mobileone_s1',
    'timm/efficientnet_b0',
    'timm/convnext_atto',  # the smallest ConvNeXt; the paper's, with 7.4 M and 0.60 G, is by MogaNet's authors
    str(CONFIGS / 'spartan_xt_in1k.py'),
    str(CONFIGS / 'spartan_t_in1k.py'),
)


def name_of(what: str, form: str) -> str:
    return f'{Path(what).stem if what.endswith(".py") else what}@{form}'


def named(models: Sequence[tuple[str, str]]) -> list[tuple[str, str, str]]:
    """Put before each model a name of its own: ``--json`` tells models by them."""
    names = [name_of(*model) for model in models]
    counts = [names[:i].count(name) + 1 for i, name in enumerate(names)]
    return [(f'{name}#{n}' if n > 1 else name, *model) for name, n, model in zip(names, counts, models)]


def peaks_of(settings: Settings, forms: Sequence[str]) -> dict[str, float]:
    """Measure the peak of each precision in which a form computes."""
    dtypes = ['int8'] if set(forms) == {'int8'} else [settings.dtype, *(['int8'] if 'int8' in forms else [])]
    return {dtype: measure_peak(settings, dtype) for dtype in dtypes}


def progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f'\r{text:70}', end='', file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)


@command()
def main(args: argparse.Namespace) -> None:
    args.device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
    if args.repeats < 2:
        raise InputError('--repeats: a spread takes at least 2 rounds')
    models = [
        (one, form or 'eager')
        for what, _, form in (name.partition('@') for name in args.model)
        for one in (PEERS if what == 'peers' else (what,))
    ]
    for what, form in models:
        check(what, form, args.device)  # before the first one is built
    configs = [what for what, _ in models if what.endswith('.py')]
    size = args.size or (size_of_test_images(config_of(configs[0]), '--size')[0] if configs else 224)
    settings = Settings(
        args.batch_size,
        size,
        args.train,
        args.dtype,
        args.tf32,
        args.threads,
        args.device,
        args.cfg_options or {},
    )
    peaks = peaks_of(settings, [form for _, form in models])
    print_head(settings, peaks)
    measured = measure(named(models), settings, args.repeats, progress=progress)
    progress('')
    print_table(measured, [form for _, form in models], settings, peaks)
    if args.json:
        write_record(args.json, settings, peaks, measured)
        print(f'\nwritten to {args.json}')


def print_head(settings: Settings, peaks: dict[str, float]) -> None:
    kind = 'training step' if settings.train else 'inference'
    precision = 'TF32' if settings.tf32 and settings.dtype == 'float32' else settings.dtype
    threads = '' if settings.device.startswith('cuda') else f', {settings.threads} threads'
    print(f'{kind}, batch {settings.batch_size}, {settings.size}x{settings.size}, {precision}{threads}')
    if settings.options:
        print(', '.join(f'{name}={value}' for name, value in settings.options.items()))
    print(f'{machine(settings.device)}, torch {torch.__version__}')
    for dtype, peak in peaks.items():
        print(f'large matrix product in {dtype}: {peak:.0f} G multiply-adds a second')


def print_table(measured: list[Measured], forms: list[str], settings: Settings, peaks: dict[str, float]) -> None:
    head = ['parameters', 'mult.-adds', 'median', 'quartiles', 'images/s', 'ratio', 'of peak']
    sizes = [name for name in ('saved', 'peak_memory') if any(getattr(model, name) is not None for model in measured)]
    print_row('model', *head, *(name.replace('_', ' ') for name in sizes))
    print_row('-' * 36, *('-' * 11 + ':' for _ in (*head, *sizes)))
    first = measured[0].quartiles()[1]
    for model, form in zip(measured, forms):
        low, median, high = model.quartiles()
        places = 1 if median > 10 else 2
        # a backward pass is counted as two forward passes
        work = model.multiply_adds * settings.batch_size * (3 if settings.train else 1)
        peak = peaks['int8' if form == 'int8' else settings.dtype]
        print_row(
            model.name,
            f'{model.parameters:,}',
            f'{model.multiply_adds:.3f} G',
            f'{median:.{places}f} ms',
            f'{low:.{places}f} to {high:.{places}f}',
            f'{settings.batch_size / median * 1e3:.4g}',
            f'{first / median:.2f}x',
            f'{work / median * 1e3 / peak:.0%}',
            *(in_megabytes(getattr(model, name)) for name in sizes),
        )


def in_megabytes(size: int | None) -> str:
    return '-' if size is None else f'{size / 1e6:.0f} MB'


def print_row(name: str, *cells: str) -> None:
    """Print a row of a table in Markdown."""
    print(f'| {name:36} |', *(f'{cell:>12} |' for cell in cells), flush=True)


if __name__ == '__main__':
    main(args)
