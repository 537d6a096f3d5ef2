"""How long a training takes on this machine, from two of its steps, and a smaller one where that is too long."""

import copy
import io
import statistics
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.runner import Runner

from ...benchmark.timing import timed
from ...configs import config_path
from ...errors import InputError
from ...own_data import own_data
from ...runs.training_step import TrainingStep
from ...runs.work_dir import latest_checkpoint

BUDGET = 45.0  # seconds of a measurement
HOUR = 3600.0
LONG = 4 * HOUR  # a training on a CPU for which a smaller one is named
SMALL = 'rtdetr_spartan_xt_digits'
HEIGHTS = range(320, 127, -32)  # of its input, in pixels; it is made for 128
DEMO = Path('work_dirs', SMALL)  # of `make demo`


@dataclass
class Cost:
    """Seconds of a training step with a whole batch, and of the evaluation of one image."""

    step: float
    image: float


@dataclass
class Length:
    """Steps of an epoch, epochs, evaluations and the images of each evaluation."""

    steps: int
    epochs: int
    evaluations: int
    images: int

    def seconds(self, cost: Cost) -> float:
        return self.epochs * self.steps * cost.step + self.evaluations * self.images * cost.image


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
    return Length(steps, epochs, -(-epochs // cfg.train_cfg.val_interval), val)


def measure(cfg: Config) -> Cost:
    """Measure two training steps of a config with its loader, and an evaluation, on the device that it trains on.

    A step with one image comes first. It shows how many images of a batch can be measured within a minute; the time of
    the others is added in proportion. Multi-scale training is measured at its median height.
    """
    device = get_device()
    step = TrainingStep(cfg, device, statistics.median_low)
    batches = _endless(Runner.build_dataloader(cfg.train_dataloader, seed=0))
    batch = next(batches)
    full = len(batch['inputs'])
    one = min(timed(lambda: step(_first(batch, 1)), device) / 1e3 for _ in range(1 if device == 'cpu' else 2))
    count = max(1, min(full, int(BUDGET / (3 * one))))
    if device != 'cpu':
        step(_first(batch, count))  # chooses algorithms for this size
    seconds = [timed(lambda: step(_first(next(batches), count)), device) / 1e3 for _ in range(2)]
    loader = copy.deepcopy(cfg.val_dataloader)
    loader.update(num_workers=0, persistent_workers=False, batch_size=count)
    step.model.eval()
    batch = next(iter(Runner.build_dataloader(loader, seed=0)))
    with torch.no_grad():
        evaluation = timed(lambda: step.model.val_step(batch), device) / 1e3
    return Cost(statistics.mean(seconds) * full / count, evaluation / len(batch['inputs']))


def _endless(loader) -> Iterator[dict]:
    while True:
        yield from loader


def _first(batch: dict, count: int) -> dict:
    return {key: value[:count] for key, value in batch.items()}


def plan_of(cfg: Config, train: int, val: int, measured: Callable[[Config], Cost] = measure) -> list[str]:
    """Return the lines of a plan: the time of the training and, if that is long on a CPU, a smaller one."""
    try:
        length = length_of(cfg, train, val)
        with redirect_stdout(io.StringIO()):  # of pycocotools
            cost = measured(cfg)
        seconds = length.seconds(cost)
        device = torch.cuda.get_device_name() if get_device() == 'cuda' else f'{get_device()} ({_threads()})'
        lines = [
            f'{length.epochs} epochs of {length.steps} steps of {cost.step:.3g} seconds on this machine, {device}: '
            f'about {spoken(seconds)} with {length.evaluations} evaluations'
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
    sizes = [(max(32, round(width / height * side / 32) * 32), side) for side in HEIGHTS]
    small = with_base(cfg, SMALL, sizes[-1], train)
    length = length_of(small, train, val)
    with redirect_stdout(io.StringIO()):
        smallest = length.seconds(measured(small))
    pixels = sizes[-1][0] * sizes[-1][1]
    times = [smallest * wide * high / pixels for wide, high in sizes]
    chosen = next((i for i, seconds in enumerate(times) if seconds <= HOUR), len(sizes) - 1)
    seconds, options = times[chosen], f'--base {SMALL} --image-size {sizes[chosen][0]} {sizes[chosen][1]}'
    if seconds > HOUR:
        epochs = max(1, int(length.epochs * HOUR / seconds))
        seconds *= epochs / length.epochs
        options += f' --max-epochs {epochs}'
    if seconds > now / 2:
        return []
    return [f'A smaller detector takes about {spoken(seconds)}: prepare again with {options}{demo_weights()}']


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
        )
    )
    return small


def demo_weights() -> str:
    """Return the option that starts from the demo's detector, if there is one; its base is SMALL."""
    best = next(iter(sorted(DEMO.glob('best_*.pth'))), latest_checkpoint(DEMO))
    return f' --weights {best}' if best else ''


def spoken(seconds: float) -> str:
    """Return a duration with a unit that makes it a number from 1 to 100, about."""
    for unit, length, most in (('seconds', 1, 100), ('minutes', 60, 100), ('hours', 3600, 36)):
        if seconds < most * length:
            return f'{seconds / length:.2g} {unit}' if seconds < 10 * length else f'{seconds / length:.0f} {unit}'
    return f'{seconds / 86400:.2g} days'
