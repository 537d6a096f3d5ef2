"""Measure time and memory of models with random weights: ``benchmark.py MODEL [MODEL ...]``.

A MODEL is ``WHAT`` or ``WHAT@FORM``. WHAT: a config file, or ``PACKAGE::FILE`` for a config of an installed OpenMMLab
package; ``reference-t`` or ``reference-xt``, the unoptimized SpaRTAN with complex tensors; ``timm/NAME``, a classifier
of timm; ``peers``, SpaRTAN and the models of the paper's Table II that timm or mmpretrain have. FORM: ``eager`` (the
default), ``cl`` (channels_last), ``deploy`` (folded, channels_last), ``compile``, ``deploy+compile``, ``deploy+graph``
(compiled, and launched as one CUDA graph), ``with_cp`` (channels_last), ``onnxruntime``, ``openvino`` (both from the
deployed form), ``winograd`` (OpenVINO, 3x3 convolutions with half the multiplications), ``int8`` (OpenVINO,
convolutions in INT8, calibrated on noise, only for the time). The models run in turn in one process. Ratios are
relative to the first model.
"""

import argparse
import logging
import math
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor, nn

from mmspartan.deploy import fold_in_place
from mmspartan.deploy.onnx import to_onnx
from mmspartan.deploy.quantization import Feeds, quantize
from mmspartan.deploy.session import Session
from mmspartan.deploy.winograd import use_winograd
from mmspartan.engine.costs import multiply_adds, peak_bytes, saved_bytes
from mmspartan.engine.launch import test_size
from mmspartan.spartan import ARCHS
from mmspartan.spartan.reference import ReferenceSpaRTAN

CONFIGS = Path(__file__).parents[2] / 'configs'
# Models of Table II. The others (PVT-T, ViT-C, MogaNet-XT, Swin-1G, ConvNeXt-XT) are in neither package.
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
TRAINED = ('eager', 'cl', 'compile', 'with_cp')
DEPLOYED = ('deploy', 'deploy+compile', 'deploy+graph')
EXPORTED = ('onnxruntime', 'openvino', 'winograd', 'int8')
FORMS = (*TRAINED, *DEPLOYED, *EXPORTED)


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model', nargs='+', help='WHAT or WHAT@FORM')
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument('--size', type=int, help="side of the images; the first config's test size, or 224, by default")
    parser.add_argument('--train', action='store_true', help='forward and backward instead of inference')
    parser.add_argument(
        '--dtype',
        choices=['float32', 'float16', 'bfloat16'],
        default='float32',
        help='of weights and images; with --train of autocast',
    )
    parser.add_argument('--tf32', action='store_true', help='TensorFloat-32 in products and convolutions of float32')
    parser.add_argument('--threads', type=int, default=2, help='threads on the CPU')
    parser.add_argument('--repeats', type=int, default=15, help='rounds; in each, every model runs once')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    return parser.parse_args()


class Tensors(nn.Module):
    """A model of the registry that maps a tensor to tensors, without data samples."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        if hasattr(self.model, 'forward_transformer'):
            features = self.model.forward_transformer(self.model.extract_feat(x))
            return torch.cat([out.flatten() for out in self.model.bbox_head(**features)])
        return self.model(x, mode='tensor')


def read_config(what: str) -> Config:
    if '::' in what:
        return get_config(what)
    if not Path(what).is_file():
        raise SystemExit(f'{what}: no config file, and neither PACKAGE::FILE, reference-*, timm/* nor peers')
    return Config.fromfile(what)


def build(what: str, form: str) -> nn.Module:
    if form not in FORMS:
        raise SystemExit(f'{what}@{form}: forms are {", ".join(FORMS)}')
    if what.startswith('reference-'):
        arch = what.removeprefix('reference-')
        if arch not in ARCHS:
            raise SystemExit(f'{what}: there are {", ".join(f"reference-{name}" for name in ARCHS)}')
        return ReferenceSpaRTAN(**ARCHS[arch])
    if what.startswith('timm/'):
        import timm

        if not timm.is_model(name := what.removeprefix('timm/')):
            raise SystemExit(f'{what}: timm {timm.__version__} has no such model')
        return timm.create_model(name)
    cfg = read_config(what)
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    if form == 'with_cp':
        cfg.model.backbone.with_cp = True
    return Tensors(MODELS.build(cfg.model))


def compiled(model: nn.Module, form: str) -> Any:
    """Return the model, compiled if the form says so."""
    if form.endswith('compile'):
        return torch.compile(model)
    return torch.compile(model, mode='reduce-overhead') if form.endswith('graph') else model


def autocast(x: Tensor, dtype: torch.dtype) -> torch.autocast:
    return torch.autocast(x.device.type, dtype, enabled=dtype != torch.float32)


def runner(what: str, form: str, x: Tensor, train: bool, dtype: torch.dtype) -> tuple[nn.Module, Callable[[], object]]:
    """Build a model, and return it and a function that runs it once."""
    torch.manual_seed(0)
    model = build(what, form).to(x.device).train(train)
    if form in ('cl', 'with_cp', *DEPLOYED):
        x = x.contiguous(memory_format=torch.channels_last)
        model = model.to(memory_format=torch.channels_last)
    if train:
        if form not in TRAINED:
            raise SystemExit(f'{what}@{form}: this form does not train')
        run = compiled(model, form)

        def step() -> None:
            model.zero_grad()
            with autocast(x, dtype):
                out = run(x)
            out.float().square().mean().backward()

        return run, step
    if form in (*DEPLOYED, *EXPORTED):
        if what.startswith('timm/'):
            from timm.utils.model import reparameterize_model

            model = reparameterize_model(model)
        else:
            fold_in_place(model)
        model.to(memory_format=torch.channels_last if form in DEPLOYED else torch.contiguous_format)
    if form in EXPORTED:
        if dtype != torch.float32:
            raise SystemExit(f'{what}@{form}: runs in float32')
        if x.device.type != 'cpu':
            raise SystemExit(f'{what}@{form}: runs on the CPU; with --device cpu the others do so, too')
        if form == 'winograd':
            use_winograd(model)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / 'model.onnx'
            backend = 'onnxruntime' if form == 'onnxruntime' else 'openvino'
            streams = math.gcd(len(x), torch.get_num_threads()) if backend == 'openvino' else 1
            example = x[: len(x) // streams]
            to_onnx(model, (example,), input_names=['images']).save(path)
            if form == 'int8':
                quantize(path, path, Feeds(iter([dict(images=example.numpy())])), keep=[])
            session = Session(path, backend, torch.get_num_threads(), streams)
        images = x.numpy()
        return model, lambda: session(images=images)
    run, x = compiled(model.to(dtype), form), x.to(dtype)

    def infer() -> Tensor:
        with torch.inference_mode():
            return run(x)

    return model, infer


def timed(run: Callable[[], object], device: str) -> float:
    """Return the time of one run in milliseconds."""
    if device.startswith('cuda'):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        return start.elapsed_time(end)
    time.sleep(0.02)  # until the previous library's threads, which spin, are asleep
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1e3


def matmul_peak(device: str, dtype: torch.dtype) -> float:
    """Return the multiply-adds per second of a large matrix product, in units of 1e9."""
    size = 8192 if device.startswith('cuda') else 2048
    a = torch.randn(size, size, device=device, dtype=dtype)
    return size**3 / min(timed(lambda: a @ a, device) for _ in range(8)) / 1e6


def main():
    args = parse_args()
    warnings.simplefilter('ignore')
    logging.disable(logging.WARNING)
    if args.repeats < 2:
        raise SystemExit('--repeats: a spread takes at least 2 rounds')
    torch.set_num_threads(args.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = args.tf32
    dtype = getattr(torch, args.dtype)
    models = [
        (one, form or 'eager')
        for what, _, form in (name.partition('@') for name in args.model)
        for one in (PEERS if what == 'peers' else (what,))
    ]
    configs = [what for what, _ in models if what.endswith('.py')]
    size = args.size or (test_size(read_config(configs[0]), '--size')[0] if configs else 224)
    x = torch.randn(args.batch_size, 3, size, size, device=args.device)
    peak = matmul_peak(args.device, dtype)
    where = torch.cuda.get_device_name() if args.device.startswith('cuda') else f'{torch.get_num_threads()} threads'
    kind = 'training step' if args.train else 'inference'
    precision = 'TF32' if args.tf32 and dtype == torch.float32 else args.dtype
    print(f'{kind}, batch {args.batch_size}, {size}x{size}, {precision}, {where}, torch {torch.__version__}')
    print(f'large matrix product: {peak:.0f} G multiply-adds a second')

    built = [runner(what, form, x, args.train, dtype) for what, form in models]
    times: list[list[float]] = [[] for _ in built]
    warm_up = 3
    for i in range(warm_up + args.repeats):
        for (_, run), record in zip(built, times):
            record.append(timed(run, args.device))
        if sys.stderr.isatty():
            print(f'\rround {i + 1} of {warm_up + args.repeats}', end='', file=sys.stderr)
    head = ['parameters', 'mult.-adds', 'median', 'quartiles', 'images/s', 'ratio', 'of peak']
    print_row('model', *head, *(['saved', 'peak memory'] if args.train else []))
    print_row('-' * 36, *('-' * 11 + ':' for _ in range(9 if args.train else 7)))
    first = statistics.median(times[0][warm_up:])
    for (what, form), (model, run), record in zip(models, built, times):
        low, median, high = statistics.quantiles(record[warm_up:], n=4)
        places = 1 if median > 10 else 2
        plain = build(what, 'eager').to(args.device)
        cost = multiply_adds(plain, x)
        work = cost * args.batch_size * (3 if args.train else 1)  # a backward pass is counted as two forward passes
        memory = []
        if args.train:
            with autocast(x, dtype):
                memory = [saved_bytes(model, x), peak_bytes(run, args.device)]
        print_row(
            f'{Path(what).stem if what.endswith(".py") else what}@{form}',
            f'{sum(p.numel() for p in plain.parameters()):,}',
            f'{cost:.3f} G',
            f'{median:.{places}f} ms',
            f'{low:.{places}f} to {high:.{places}f}',
            f'{args.batch_size / median * 1e3:.4g}',
            f'{first / median:.2f}x',
            f'{work / median * 1e3 / peak:.0%}',
            *(f'{size / 1e6:.0f} MB' for size in memory),
        )


def print_row(name: str, *cells: str) -> None:
    """Print a row of a table in Markdown."""
    print(f'| {name:36} |', *(f'{cell:>12} |' for cell in cells), flush=True)


if __name__ == '__main__':
    main()
