"""Images a second of several models, which run in turn so that a busy machine disturbs all of them alike."""

import statistics
import time
from collections.abc import Sequence

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from ..configs import config_path
from ..engine.launch import test_size

WARM_UP = 2


@torch.inference_mode()
def throughput(configs: Sequence[str], batch_size: int, rounds: int, device: str) -> dict[str, tuple[float, float]]:
    """Return mean and standard deviation of the images a second of each classifier, in float32.

    Args:
        configs: Names of configs below ``configs/``.
        batch_size: Images at a time.
        rounds: How often each model runs, after two rounds that do not count; at least 2.
        device: As of ``torch.device``.
    """
    rates: dict[str, list[float]] = {config: [] for config in configs}
    models, size = {}, (0, 0)
    for config in configs:
        cfg = Config.fromfile(config_path(config))
        init_default_scope(cfg.default_scope)
        models[config] = MODELS.build(cfg.model).to(device).eval()
        size = test_size(cfg, 'size')
    x = torch.randn(batch_size, 3, *size, device=device)
    for i in range(WARM_UP + rounds):
        for config, model in models.items():
            start = time.perf_counter()
            model(x)
            if device.startswith('cuda'):
                torch.cuda.synchronize()
            if i >= WARM_UP:
                rates[config].append(batch_size / (time.perf_counter() - start))
    return {config: (statistics.mean(rate), statistics.stdev(rate)) for config, rate in rates.items()}
