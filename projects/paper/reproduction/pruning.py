"""How SpaRTAN behaves under pruning (the paper's outlook, Sec. V): the small network of :mod:`.miniature`, pruned.

Each trained network is pruned to two sizes by each importance and fine-tuned. The network that is not pruned trains as
many further steps, so that only what was removed differs.
"""

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev

from matplotlib.figure import Figure
from mmengine.config import Config

from mmspartan.analysis.counting import build_counted, parameters
from mmspartan.markdown import table_lines

from .configs import ROOT, config_path
from .miniature import run
from .order import differences
from .runs import metrics_after
from .training import Command

CONFIG = 'miniature/spartan_xt'
EPOCHS = 10
RATIOS = (0.25, 0.45)
VARIANTS = [
    (0.0, ''),
    *((ratio, importance) for ratio in RATIOS for importance in ('taylor', 'magnitude', 'random')),
]
FINE_TUNING = ['--cfg-options', f'max_epochs={EPOCHS}', 'optim_wrapper.optimizer.lr=1e-3']


def folder_of(ratio: float, importance: str, work_dirs: str | Path, seed: int) -> Path:
    return Path(work_dirs, 'pruning', f'seed{seed}', f'{importance}_{ratio:g}' if ratio else 'whole')


def metrics_of(folder: Path) -> dict[str, float] | None:
    return metrics_after(folder / 'train', EPOCHS)


def commands(work_dirs: str | Path, seeds: int) -> Iterator[Command]:
    """Iterate over what is left: for each network and seed a process that prunes it and fine-tunes it."""
    for seed in range(seeds):
        trained = run(CONFIG, work_dirs, seed)
        checkpoint = trained.folder / f'epoch_{trained.epochs}.pth'
        for ratio, importance in VARIANTS:
            folder = folder_of(ratio, importance, work_dirs, seed)
            if metrics_of(folder):
                continue
            pruned = folder / 'pruned'
            config, weights, steps = config_path(CONFIG), checkpoint, []
            if ratio:
                config, weights = str(pruned / 'config.py'), pruned / 'pruned.pth'
                if not Path(config).exists():  # the last file that compress.py writes
                    options = ['--ratio', ratio, '--importance', importance, '--seed', seed, '--out', pruned]
                    steps.append(['rm', '-rf', pruned])
                    steps.append([*tool('compress.py'), 'prune', config_path(CONFIG), checkpoint, *options])
            options = [*FINE_TUNING, f'randomness.seed={seed}', f'load_from={weights}']
            steps.append([*tool('train.py'), config, '--work-dir', folder / 'train', '--resume', *options])
            script = '\n'.join(shlex.join(map(str, words)) for words in steps)
            name = f'pruned {ratio:.0%} {importance} seed {seed}'
            yield Command(name, ['bash', '-ec', script], folder / 'train.log')


def tool(name: str) -> list[str]:
    return [sys.executable, str(ROOT / 'tools' / name)]


def markdown(work_dirs: str | Path, seeds: int) -> str:
    """Return the accuracies after fine-tuning, their difference from the whole network, and what remains of it."""
    scores: dict[str, list[float]] = {}
    left: dict[str, list[list[list[float]]]] = {}
    parameters_of: dict[str, float] = {}
    for ratio, importance in VARIANTS:
        folders = [folder_of(ratio, importance, work_dirs, seed) for seed in range(seeds)]
        metrics = [found for found in map(metrics_of, folders) if found]
        if len(metrics) < seeds:
            return 'Not all networks are pruned and fine-tuned.\n'
        name = f'{ratio:.0%} by {importance}' if ratio else 'whole'
        scores[name] = [found['accuracy/top1'] for found in metrics]
        left[name] = [_remaining(folder) for folder in folders] if ratio else []
        configs = [folder / 'pruned' / 'config.py' if ratio else config_path(CONFIG) for folder in folders]
        parameters_of[name] = mean(parameters(build_counted(Config.fromfile(config))) for config in configs)
    compared = differences(scores)
    body = []
    for name, values in scores.items():
        cells = [name, f'{mean(values):.2f} ± {stdev(values):.2f}', f'{parameters_of[name] / 1e3:.0f}']
        if left[name]:
            difference = compared[name, 'whole']
            cells.append(f'{difference.mean:+.2f} ± {difference.margin:.2f}')
            cells += [' '.join(f'{mean(stage):.0%}' for stage in zip(*stages)) for stages in zip(*left[name])]
        else:
            cells += [''] * 3
        body.append(cells)
    heads = [
        'removed',
        'top-1 (%)',
        'parameters (thousand)',
        'difference',
        'channels left in the SMixers of the stages',
        'in the CMixers',
    ]
    return '\n'.join(table_lines(heads, body)) + '\n'


def draw(work_dirs: str | Path, seeds: int, path: Path) -> None:
    """Draw which share of the channels remains in each stage, as a PNG."""
    figure = Figure(figsize=(9, 3.2), layout='constrained')
    axes = figure.subplots(1, 2, sharey=True)
    for i, (kind, axis) in enumerate(zip(('SMixers', 'CMixers'), axes)):
        for ratio, importance in VARIANTS[1:]:
            folders = [folder_of(ratio, importance, work_dirs, seed) for seed in range(seeds)]
            shares = [mean(stage) for stage in zip(*(_remaining(folder)[i] for folder in folders))]
            style = dict(taylor='-', magnitude='--', random=':')[importance]
            color = f'C{RATIOS.index(ratio)}'
            axis.plot(range(1, 5), shares, style, color=color, marker='o', label=f'{ratio:.0%} by {importance}')
        axis.set(title=f'channels left in the {kind}', xlabel='stage', xticks=range(1, 5), ylim=(0, 1.05))
    lines, labels = axes[0].get_legend_handles_labels()
    figure.legend(lines, labels, title='removed', fontsize='small', loc='outside right center')
    figure.savefig(path, dpi=150)


def _remaining(folder: Path) -> list[list[float]]:
    """Shares of the widths that remain, for SMixers and CMixers a list with one for each stage."""
    arch = Config.fromfile(folder / 'pruned' / 'config.py').model.backbone.arch
    whole = [c // 2 for c in arch.channels], [c * e for c, e in zip(arch.channels, arch.expand_ratios)]
    shares = []
    for widths, of_stages in zip((arch.smixer_widths, arch.cmixer_widths), whole):
        rest = iter(widths)
        shares.append([mean(next(rest) / width for _ in range(depth)) for width, depth in zip(of_stages, arch.depths)])
    return shares
