"""Images a second of several classifiers, each measured in a process of its own, in turns."""

import statistics
from collections.abc import Callable, Sequence

import torch
from mmengine.config import Config

from mmspartan.benchmark.workers import Settings, measure
from mmspartan.commands.launch import size_of_test_images

from .configs import config_path


def throughput(
    configs: Sequence[str],
    batch_size: int,
    rounds: int,
    device: str,
    progress: Callable[[str], None] = lambda text: None,
) -> dict[str, tuple[float, float]]:
    """Return mean and standard deviation over the rounds of the images a second of each classifier, in float32.

    A round is a turn of :func:`~mmspartan.benchmark.workers.measure`: the median of the runs of 0.3 seconds.

    Args:
        configs: Names of configs, see :mod:`.configs`, of models for images of equal size.
        batch_size: Images at a time.
        rounds: How many rounds count; at least 2.
        device: As of ``torch.device``.
        progress: Is called with what is being done.

    Raises:
        RuntimeError: If a process ends early, for instance for want of memory.
    """
    size, _ = size_of_test_images(Config.fromfile(config_path(configs[0])), 'size')
    threads = torch.get_num_threads()
    settings = Settings(batch_size, size, train=False, dtype='float32', tf32=False, threads=threads, device=device)
    measured = measure([(config, config_path(config), 'eager') for config in configs], settings, rounds, progress)
    rates = {model.name: [batch_size / milliseconds * 1e3 for milliseconds in model.times] for model in measured}
    return {config: (statistics.mean(rate), statistics.stdev(rate)) for config, rate in rates.items()}
