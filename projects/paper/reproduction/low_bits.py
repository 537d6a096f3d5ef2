"""How SpaRTAN behaves under low-bit quantization (the paper's outlook, Sec. V): the small network of :mod:`.miniature`.

Each trained network is folded and its inputs and weights are rounded, without training or with some epochs of training
that is aware of it. The network in floating point trains as many further epochs with the same learning rate. With
weights of 4 bits in one kind of layer and 8 in all others, the second table shows which kind suffers.
"""

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from mmspartan.markdown import table_lines

from .configs import config_path
from .miniature import run
from .order import differences
from .pruning import CONFIG, tool
from .runs import metrics_after
from .training import Command

EPOCHS = 3
RATE = 2e-4  # a twentieth of the recipe's, as compress.py writes


@dataclass(frozen=True)
class Variant:
    """A way to quantize.

    Args:
        name: As the table has it.
        options: Of ``compress.py quantize``; None for floating point.
        is_aware: Whether it is trained.
    """

    name: str
    options: tuple[str, ...] | None
    is_aware: bool = False

    def folder(self, work_dirs: str | Path, seed: int) -> Path:
        name = self.name.replace(' ', '_')
        return Path(work_dirs, 'low_bits', f'seed{seed}', f'{name}_aware' if self.is_aware else name)

    def accuracy(self, work_dirs: str | Path, seed: int) -> float | None:
        folder = self.folder(work_dirs, seed)
        if self.is_aware:
            found = metrics_after(folder / 'train', EPOCHS)
            return found and found['accuracy/top1']
        tests = [json.loads(path.read_text()) for path in sorted(folder.glob('test/*/*.json'))]
        return tests[-1]['accuracy/top1'] if tests else None


BITS = {
    'W8A8': ('--weight-bits', '8'),
    'W4A8': ('--weight-bits', '4'),
    'W4A8, stem and downsampling W8': ('--weight-bits', '4', '--keep-8bit', 'patch_embeds'),
}
VARIANTS = [
    Variant('float', None, is_aware=True),
    *(Variant(name, options, is_aware) for is_aware in (False, True) for name, options in BITS.items()),
]
KINDS = {
    'stem and downsampling': 'patch_embeds',
    'SMixer, convolutions': r'smixer\.(proj|high|low)',
    'CMixer, waves': r'cmixer\.(amplitude|phase)',
    'CMixer, complex convolution': r'cmixer\.to_',
    'CMixer, projection': r'cmixer\.proj_out',
    'gates': r'\.se\.',
}
PROFILE = [Variant(kind, ('--weight-bits', '4', '--keep-8bit', f'^(?!.*{part})')) for kind, part in KINDS.items()]


def commands(work_dirs: str | Path, seeds: int) -> Iterator[Command]:
    """Iterate over what is left: for each network and seed a process that quantizes, and tests it or trains it."""
    for seed in range(seeds):
        trained = run(CONFIG, work_dirs, seed)
        checkpoint = trained.folder / f'epoch_{trained.epochs}.pth'
        for variant in VARIANTS + PROFILE:
            if variant.accuracy(work_dirs, seed) is not None:
                continue
            folder, steps = variant.folder(work_dirs, seed), []
            config, weights, quantized = config_path(CONFIG), checkpoint, folder / 'quantized'
            options = ['--cfg-options', f'randomness.seed={seed}', f'train_cfg.val_interval={EPOCHS}']
            if variant.options is None:
                options += [f'max_epochs={EPOCHS}', f'optim_wrapper.optimizer.lr={RATE}', f'load_from={checkpoint}']
            else:
                config, weights = str(quantized / 'config.py'), quantized / 'quantized.pth'
                if not Path(config).exists():  # the last file that compress.py writes
                    given = [*variant.options, '--epochs', EPOCHS, '--out', quantized]
                    steps.append(['rm', '-rf', quantized])
                    steps.append([*tool('compress.py'), 'quantize', config_path(CONFIG), checkpoint, *given])
            if variant.is_aware:
                steps.append([*tool('train.py'), config, '--work-dir', folder / 'train', '--resume', *options])
            else:
                steps.append([*tool('test.py'), config, weights, '--work-dir', folder / 'test'])
            script = '\n'.join(shlex.join(map(str, words)) for words in steps)
            yield Command(f'{folder.name} seed {seed}', ['bash', '-ec', script], folder / 'train.log')


def markdown(work_dirs: str | Path, seeds: int) -> str:
    """Return accuracies and their difference from floating point, in two tables."""
    scores: dict[str, list[float]] = {}
    for variant in VARIANTS + PROFILE:
        found = [variant.accuracy(work_dirs, seed) for seed in range(seeds)]
        name = f'{variant.name}, trained' if variant.is_aware and variant.options else variant.name
        scores[name] = [value for value in found if value is not None]
        if len(scores[name]) < seeds:
            return 'Not all networks are quantized and evaluated.\n'
    rows = []
    compared = differences(scores)
    for name, values in scores.items():
        difference = compared.get((name, 'float'))
        shown = f'{difference.mean:+.2f} ± {difference.margin:.2f}' if difference else ''
        rows.append([name, f'{mean(values):.2f} ± {stdev(values):.2f}', shown])
    heads = ['top-1 (%)', 'difference']
    tables = table_lines(['network', *heads], rows[: len(VARIANTS)])
    profile = table_lines(['4 bits in', *heads], rows[len(VARIANTS) :])
    return '\n'.join([*tables, '', *profile]) + '\n'
