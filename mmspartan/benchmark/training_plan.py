"""How long a training takes on this machine, by steps of each of its stages, and a smaller one if that is too long."""

import copy
import itertools
import logging
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ..configs import config_path
from ..datasets.prepare.recommend import CPU_BASE, CPU_BATCH, HEIGHTS
from ..errors import InputError
from ..own_data import own_data
from ..runs.hooks.stage_hook import StageHook
from ..runs.training_step import TrainingStep
from .timing import timed

BUDGET = 45.0  # seconds of a measurement
LEAST = 3.0  # seconds of steps of a stage: the first ones have batches that were loaded before them
HOUR = 3600.0
LONG = 4 * HOUR  # a training on a CPU for which a smaller one is named


@dataclass
class Cost:
    """Seconds of a training step with a whole batch, in each stage, and of the evaluation of one image."""

    steps: list[float]
    image: float


@dataclass
class Length:
    """Steps of an epoch, epochs of each stage, evaluations and the images of each evaluation."""

    steps: int
    epochs: list[int]
    evaluations: int
    images: int

    def seconds(self, cost: Cost) -> float:
        training = sum(epochs * self.steps * step for epochs, step in zip(self.epochs, cost.steps, strict=True))
        return training + self.evaluations * self.images * cost.image


def default_epochs(images: int, batch_size: int) -> int:
    """Return as many epochs as make 10,000 iterations, from 20 to 100."""
    return min(100, max(20, 10_000 // max(1, images // batch_size)))


def length_of(cfg: Config, train: int, val: int) -> Length:
    """Return the length of a training on so many images.

    Raises:
        InputError: If they do not fill a batch.
    """
    loader, epochs = cfg.train_dataloader, cfg.train_cfg.max_epochs
    steps = train // loader.batch_size if loader.get('drop_last') else -(-train // loader.batch_size)
    if not steps:
        raise InputError(f'{train} training images do not fill a batch of {loader.batch_size} (--batch-size)')
    begins = stages_of(cfg)[1]
    lengths = [end - begin for begin, end in zip(begins, [*begins[1:], epochs])]
    return Length(steps, lengths, -(-epochs // cfg.train_cfg.val_interval), val)


def stages_of(cfg: Config) -> tuple[list[StageHook], list[int]]:
    """Return the hooks of a config that change its augmentation, and the epochs in which a stage begins, from 0."""
    kinds = [(HOOKS.get(hook.type), hook) for hook in cfg.get('custom_hooks') or []]
    hooks = [HOOKS.build(hook) for kind, hook in kinds if isinstance(kind, type) and issubclass(kind, StageHook)]
    return hooks, sorted({0, *(epoch for hook in hooks for epoch in hook.begins(cfg.train_cfg.max_epochs))})


def measure(cfg: Config) -> Cost:
    """Measure training steps of a config with its loader, and an evaluation, on the device that it trains on.

    Of each stage of the training two steps are measured, or as many as take three seconds. A step with one image comes
    first. It shows how many images of a batch can be measured within a minute; the time of the others is added in
    proportion. Multi-scale training is measured at its median height.
    """
    device = get_device()
    step = TrainingStep(cfg, device, statistics.median_low)
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
    hooks, begins = stages_of(cfg)
    count, steps = 0, []
    for epoch in begins:
        runner: Any = SimpleNamespace(
            epoch=epoch,
            # not at the start of an epoch, where a stage loads the best checkpoint
            train_loop=SimpleNamespace(_done=1),
            max_epochs=cfg.train_cfg.max_epochs,
            model=step.model,
            train_dataloader=loader,
            logger=logging.getLogger(__name__),  # without the hook's notes
        )
        for hook in hooks:
            hook.before_train_epoch(runner)
        batches = _endless(loader)
        batch = next(batches)
        full = len(batch['inputs'])
        if not count:
            again = itertools.repeat(batch)
            one = min(_seconds(step, again, 1, device) for _ in range(1 if device == 'cpu' else 2))
            count = max(1, min(full, int(BUDGET / ((2 * len(begins) + 1) * one))))
        if device != 'cpu':
            step(_first(batch, count))  # chooses algorithms for this size
        seconds: list[float] = []
        while len(seconds) < 2 or sum(seconds) < LEAST:
            seconds.append(_seconds(step, batches, count, device))
        steps.append(statistics.mean(seconds) * full / count)
    loader = copy.deepcopy(cfg.val_dataloader)
    loader.update(num_workers=0, persistent_workers=False, batch_size=count)
    step.model.eval()
    batch = next(iter(Runner.build_dataloader(loader, seed=0)))
    with torch.no_grad():
        evaluation = timed(lambda: step.model.val_step(batch), device) / 1e3
    return Cost(steps, evaluation / len(batch['inputs']))


def _seconds(step: TrainingStep, batches: Iterator[dict], count: int, device: str) -> float:
    """Return the seconds of a step with the first images of the next batch."""
    return timed(lambda: step(_first(next(batches), count)), device) / 1e3


def _endless(loader) -> Iterator[dict]:
    while True:
        yield from loader


def _first(batch: dict, count: int) -> dict:
    return {key: value[:count] for key, value in batch.items()}


def plan_of(cfg: Config, train: int, val: int, measured: Callable[[Config], Cost] = measure) -> list[str]:
    """Return the lines of a plan: the time of the training and, if that is long on a CPU, a smaller one."""
    try:
        length = length_of(cfg, train, val)
        cost = measured(cfg)
        seconds = length.seconds(cost)
        device = torch.cuda.get_device_name() if get_device() == 'cuda' else f'{get_device()} ({_threads()})'
        stages = ', '.join(f'{step:.3g} ({epochs} epochs)' for epochs, step in zip(length.epochs, cost.steps))
        lines = [
            f'{sum(length.epochs)} epochs of {length.steps} steps on this machine, {device}: '
            f'about {spoken(seconds)} with {length.evaluations} evaluations. Seconds a step: {stages}'
        ]
        if get_device() == 'cpu' and seconds > LONG:
            lines += _smaller(cfg, train, val, measured, seconds)
        return lines
    except Exception as error:  # without memory, workers or a working GPU; the dataset is written nevertheless
        text = str(error).strip().partition('\n')[0]
        kind = '' if isinstance(error, InputError) else f'{type(error).__name__}: '
        return [f'The time of the training cannot be measured: {kind}{text}']


def _threads() -> str:
    count = torch.get_num_threads()
    return f'{count} threads' if count > 1 else '1 thread'


def _smaller(cfg: Config, train: int, val: int, measured: Callable[[Config], Cost], now: float) -> list[str]:
    """Return the options of a training of an hour; its time grows at most as the number of pixels."""
    width, height = next(item.scale for item in cfg.train_pipeline if item.type.endswith('Resize'))
    sizes = [(max(32, round(width / height * side / 32) * 32), side) for side in reversed(HEIGHTS)]
    small = with_base(cfg, CPU_BASE, sizes[-1], train)
    length = length_of(small, train, val)
    smallest = length.seconds(measured(small))
    pixels = sizes[-1][0] * sizes[-1][1]
    times = [smallest * wide * high / pixels for wide, high in sizes]
    chosen = next((i for i, seconds in enumerate(times) if seconds <= HOUR), len(sizes) - 1)
    seconds, options = times[chosen], f'--base {CPU_BASE} --image-size {sizes[chosen][0]} {sizes[chosen][1]}'
    if seconds > HOUR:
        epochs = max(1, int(sum(length.epochs) * HOUR / seconds))
        seconds *= epochs / sum(length.epochs)
        options += f' --max-epochs {epochs}'
    if seconds > now / 2:
        return []
    return [f'A training of about {spoken(seconds)}: prepare again with {options}']


def with_base(cfg: Config, base: str, size: tuple[int, int], train: int) -> Config:
    """Return the config of another base for the datasets of a config that uses ``own_data``."""
    small = Config.fromfile(config_path(base))
    dataset, val = cfg.train_dataloader.dataset, cfg.val_dataloader.dataset
    epochs = default_epochs(train, small.train_dataloader.batch_size)
    small.merge_from_dict(
        own_data(
            small,
            dataset.data_root,
            dataset.metainfo.classes,
            train=(dataset.ann_file, dataset.data_prefix.img),
            val=(val.ann_file, val.data_prefix.img),
            image_size=size,
            max_epochs=epochs,
            batch_size=min(CPU_BATCH, train) if base == CPU_BASE else None,
        )
    )
    return small


def spoken(seconds: float) -> str:
    """Return a duration with a unit that makes it a number from 1 to 100, about."""
    for unit, length, most in (('seconds', 1, 100), ('minutes', 60, 100), ('hours', 3600, 36)):
        if seconds < most * length:
            return f'{seconds / length:.2g} {unit}' if seconds < 10 * length else f'{seconds / length:.0f} {unit}'
    return f'{seconds / 86400:.2g} days'
