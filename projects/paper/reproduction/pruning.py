"""How SpaRTAN behaves under pruning (the paper's outlook, Sec. V): the small networks of :mod:`.miniature`, pruned.

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
from .miniature import trainings
from .order import differences
from .runs import Run, metrics_after
from .training import Command

NETWORK = 'spartan_xt'  # of the folders of small networks
EPOCHS = {'miniature': 10, 'photographs': 3}  # of the fine-tuning
RATIOS = (0.25, 0.45)
VARIANTS = [
    (0.0, ''),
    *((ratio, importance) for ratio in RATIOS for importance in ('taylor', 'magnitude', 'random')),
]


def folder_of(ratio: float, importance: str, work_dirs: str | Path, seed: int, images: str = 'miniature') -> Path:
    return Path(work_dirs, 'pruning', images, f'seed{seed}', f'{importance}_{ratio:g}' if ratio else 'whole')


def needed(work_dirs: str | Path, seeds: int, images: str = 'miniature') -> Iterator[tuple[Run, str, int]]:
    """Iterate over run, config and seed of the trainings that are pruned."""
    return trainings([f'{images}/{NETWORK}'], work_dirs, seeds)


def commands(work_dirs: str | Path, seeds: int, images: str = 'miniature') -> Iterator[Command]:
    """Iterate over what is left: for each network and seed a process that prunes it and fine-tunes it."""
    fine_tuning = ['--cfg-options', f'max_epochs={EPOCHS[images]}', 'optim_wrapper.optimizer.lr=1e-3']
    for trained, base, seed in needed(work_dirs, seeds, images):
        checkpoint = trained.folder / f'epoch_{trained.epochs}.pth'
        for ratio, importance in VARIANTS:
            folder = folder_of(ratio, importance, work_dirs, seed, images)
            if metrics_after(folder / 'train', EPOCHS[images]):
                continue
            pruned = folder / 'pruned'
            config, weights, steps = config_path(base), checkpoint, []
            if ratio:
                config, weights = str(pruned / 'config.py'), pruned / 'pruned.pth'
                if not Path(config).exists():  # the last file that compress.py writes
                    options = ['--ratio', ratio, '--importance', importance, '--seed', seed, '--out', pruned]
                    steps.append(['rm', '-rf', pruned])
                    steps.append([*tool('compress.py'), 'prune', config_path(base), checkpoint, *options])
            options = [*fine_tuning, f'randomness.seed={seed}', f'load_from={weights}']
            steps.append([*tool('train.py'), config, '--work-dir', folder / 'train', '--resume', *options])
            script = '\n'.join(shlex.join(map(str, words)) for words in steps)
            name = f'pruned {ratio:.0%} {importance} seed {seed}'
            yield Command(name, ['bash', '-ec', script], folder / 'train.log')


def tool(name: str) -> list[str]:
    return [sys.executable, str(ROOT / 'tools' / name)]


def markdown(work_dirs: str | Path, seeds: int, images: str = 'miniature') -> str:
    """Return the accuracies after fine-tuning, their difference from the whole network, and what remains of it."""
    scores: dict[str, list[float]] = {}
    left: dict[str, list[list[list[float]]]] = {}
    parameters_of: dict[str, float] = {}
    for ratio, importance in VARIANTS:
        folders = [folder_of(ratio, importance, work_dirs, seed, images) for seed in range(seeds)]
        metrics = [found for folder in folders if (found := metrics_after(folder / 'train', EPOCHS[images]))]
        if len(metrics) < seeds:
            return 'Not all networks are pruned and fine-tuned.\n'
        name = f'{ratio:.0%} by {importance}' if ratio else 'whole'
        scores[name] = [found['accuracy/top1'] for found in metrics]
        left[name] = [_remaining(folder) for folder in folders] if ratio else []
        base = config_path(f'{images}/{NETWORK}')
        configs = [folder / 'pruned' / 'config.py' if ratio else base for folder in folders]
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


def draw(work_dirs: str | Path, seeds: int, images: str, path: Path) -> None:
    """Draw which share of the channels remains in each stage, as a PNG."""
    figure = Figure(figsize=(9, 3.2), layout='constrained')
    axes = figure.subplots(1, 2, sharey=True)
    for i, (kind, axis) in enumerate(zip(('SMixers', 'CMixers'), axes)):
        for ratio, importance in VARIANTS[1:]:
            folders = [folder_of(ratio, importance, work_dirs, seed, images) for seed in range(seeds)]
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
