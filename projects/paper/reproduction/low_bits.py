"""How SpaRTAN behaves under low-bit quantization (the paper's outlook, Sec. V): the networks of :mod:`.pruning`.

Each trained network is folded and its inputs and weights are rounded, without training or with some epochs of training
that is aware of it. The network in floating point trains as many further epochs with the same learning rate. With
weights of 4 bits in one kind of layer and 8 in all others, the second table shows which kind suffers.

``python -m projects.paper.reproduction.low_bits CONFIG CHECKPOINT OUT.json`` evaluates what is not trained.
"""

import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.runner import Runner
from torch import nn

from mmspartan.datasets.calibration import CalibrationImages
from mmspartan.deploy import deploy
from mmspartan.deploy.load import load_model
from mmspartan.markdown import table_lines
from mmspartan.nn.fake_quant import bits_of, insert_quantizers
from mmspartan.quantization_aware import calibrate

from .configs import config_path
from .order import differences
from .pruning import needed, tool
from .runs import metrics_after
from .training import Command

EPOCHS = 3
RATE = 2e-4  # a twentieth of the recipe's, as compress.py writes
FLOAT = 'float'
BITS: dict[str, dict] = {
    'W8A8': dict(weight_bits=8),
    'W4A8': dict(weight_bits=4),
    'W4A8, stem and downsampling W8': dict(weight_bits=4, keep_8bit='patch_embeds'),
}
KINDS = {
    'stem and downsampling': 'patch_embeds',
    'SMixer, convolutions': r'smixer\.(proj|high|low)',
    'CMixer, waves': r'cmixer\.(amplitude|phase)',
    'CMixer, complex convolution': r'cmixer\.to_',
    'CMixer, projection': r'cmixer\.proj_out',
    'gates': r'\.se\.',
}
PROFILE: dict[str, dict] = {kind: dict(weight_bits=4, keep_8bit=f'^(?!.*{part})') for kind, part in KINDS.items()}


def evaluate(config: str, checkpoint: str) -> dict[str, float]:
    """Return the accuracies of a trained network that is rounded in each of the ways, and not trained again."""
    cfg = Config.fromfile(config)
    trained: Any = load_model(cfg, checkpoint)
    images = list(CalibrationImages(cfg, 128))
    loader = Runner.build_dataloader(cfg.val_dataloader)
    batches = [trained.data_preprocessor(batch, False) for batch in loader]
    found = {}
    for name, settings in {**BITS, **PROFILE}.items():
        model, evaluator = quantized(trained, images, settings), Evaluator(cfg.val_evaluator)
        with torch.no_grad():
            for batch in batches:
                evaluator.process(model(**batch, mode='predict'))
        found[name] = evaluator.evaluate(len(loader.dataset))['accuracy/top1']
    return found


def quantized(trained: nn.Module, images: Sequence[dict], settings: dict) -> Any:
    """Return the folded network with rounded weights and inputs, whose ranges are those of images."""
    model = deploy(trained)
    insert_quantizers(model, bits_of(**settings))
    calibrate(model, images)
    return model


def folder_of(name: str, work_dirs: str | Path, seed: int, images: str = 'miniature') -> Path:
    return Path(work_dirs, 'low_bits', images, f'seed{seed}', name.replace(' ', '_'))


def untrained(work_dirs: str | Path, seed: int, images: str = 'miniature') -> Path:
    return folder_of('untrained.json', work_dirs, seed, images)


def commands(work_dirs: str | Path, seeds: int, images: str = 'miniature') -> Iterator[Command]:
    """Iterate over what is left: for each seed a process that evaluates, and one for each training."""
    for trained, base, seed in needed(work_dirs, seeds, images):
        checkpoint = trained.folder / f'epoch_{trained.epochs}.pth'
        target = untrained(work_dirs, seed, images)
        if not target.exists():
            words = [sys.executable, '-m', __name__, config_path(base), str(checkpoint), str(target)]
            yield Command(f'low bits seed {seed}', words, target.with_suffix('.log'))
        for name in (FLOAT, *BITS):
            folder = folder_of(name, work_dirs, seed, images)
            if metrics_after(folder / 'train', EPOCHS):
                continue
            config, quantized, steps = config_path(base), folder / 'quantized', list[list]()
            options = [f'randomness.seed={seed}', f'train_cfg.val_interval={EPOCHS}']
            if name == FLOAT:
                options += [f'max_epochs={EPOCHS}', f'optim_wrapper.optimizer.lr={RATE}', f'load_from={checkpoint}']
            else:
                config = str(quantized / 'config.py')
                if not Path(config).exists():  # the last file that compress.py writes
                    given = [f'--{key.replace("_", "-")}={value}' for key, value in BITS[name].items()]
                    given += [f'--epochs={EPOCHS}', f'--out={quantized}']
                    steps.append(['rm', '-rf', quantized])
                    steps.append([*tool('compress.py'), 'quantize', config_path(base), checkpoint, *given])
            steps.append(
                [*tool('train.py'), config, '--work-dir', folder / 'train', '--resume', '--cfg-options', *options]
            )
            script = '\n'.join(shlex.join(map(str, words)) for words in steps)
            yield Command(f'{name} seed {seed}', ['bash', '-ec', script], folder / 'train.log')


def markdown(work_dirs: str | Path, seeds: int, images: str = 'miniature') -> str:
    """Return accuracies and their difference from floating point, in two tables."""
    scores: dict[str, list[float]] = {}
    for seed in range(seeds):
        evaluated = untrained(work_dirs, seed, images)
        runs = [metrics_after(folder_of(name, work_dirs, seed, images) / 'train', EPOCHS) for name in (FLOAT, *BITS)]
        trained = {name: found['accuracy/top1'] for name, found in zip((FLOAT, *BITS), runs) if found}
        if not evaluated.exists() or len(trained) < len(runs):
            return 'Not all networks are quantized and evaluated.\n'
        found = json.loads(evaluated.read_text())
        scores.setdefault(FLOAT, []).append(trained[FLOAT])
        for name in BITS:
            scores.setdefault(name, []).append(found[name])
            scores.setdefault(f'{name}, trained', []).append(trained[name])
        for name in PROFILE:
            scores.setdefault(name, []).append(found[name])
    rows = []
    compared = differences(scores)
    for name, values in scores.items():
        difference = compared.get((name, FLOAT))
        shown = f'{difference.mean:+.2f} ± {difference.margin:.2f}' if difference else ''
        rows.append([name, f'{mean(values):.2f} ± {stdev(values):.2f}', shown])
    heads = ['top-1 (%)', 'difference']
    tables = table_lines(['network', *heads], rows[: -len(PROFILE)])
    profile = table_lines(['4 bits in', *heads], rows[-len(PROFILE) :])
    return '\n'.join([*tables, '', *profile]) + '\n'


if __name__ == '__main__':
    Path(sys.argv[3]).write_text(json.dumps(evaluate(*sys.argv[1:3])))
