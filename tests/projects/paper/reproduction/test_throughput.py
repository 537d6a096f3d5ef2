"""Images a second from the times of the benchmark."""

import pytest
import torch

from mmspartan.benchmark.models import check
from mmspartan.benchmark.workers import Measured
from projects.paper.reproduction.throughput import throughput


def test_mean_and_deviation_over_the_rounds(monkeypatch):
    times = {'ablations/table8_full': [100.0, 50.0], 'ablations/table8_depthwise': [25.0, 25.0]}
    asked = []

    def measure(models, settings, rounds, progress):
        for _, what, form in models:
            check(what, form, settings.device)
        asked.append((settings, rounds))
        return [Measured(name, 0, 0.0, None, None, times[name]) for name, *_ in models]

    monkeypatch.setattr('projects.paper.reproduction.throughput.measure', measure)
    found = throughput(list(times), 8, 2, 'cpu')
    # 80 and 160 images a second, 320 twice
    assert found['ablations/table8_full'] == pytest.approx((120.0, 80 / 2**0.5))
    assert found['ablations/table8_depthwise'] == pytest.approx((320.0, 0.0))
    ((settings, rounds),) = asked
    assert (settings.batch_size, settings.size, settings.dtype, rounds) == (8, 224, 'float32', 2)
    assert (settings.device, settings.threads) == ('cpu', torch.get_num_threads()) and not settings.train
