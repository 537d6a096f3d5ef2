"""Networks that are trained alike and compared with the first of them: larger kernels, and the paper's peers."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from mmspartan.markdown import table_lines

from .counts import costs
from .miniature import run, trainings
from .order import differences
from .runs import Run
from .training import Command


@dataclass(frozen=True)
class Networks:
    """Networks that one command trains and compares.

    Args:
        configs: For each kind of images, ``'miniature'`` or ``'photographs'``, the configs. Others are compared with
            the first one.
    """

    configs: dict[str, tuple[str, ...]]

    def needed(self, work_dirs: str | Path, seeds: int, images: str) -> Iterator[tuple[Run, str, int]]:
        """Iterate over run, config and seed of the trainings that are compared."""
        return trainings(self.configs[images], work_dirs, seeds)

    def commands(self, work_dirs: str | Path, seeds: int, images: str) -> Iterator[Command]:
        """Iterate over nothing: the trainings are all there is to run."""
        return iter(())

    def markdown(self, work_dirs: str | Path, seeds: int, images: str) -> str:
        """Return accuracy and costs of each network, and the difference from the first one."""
        scores: dict[str, list[float]] = {}
        for config in self.configs[images]:
            metrics = [found for found in (run(config, work_dirs, seed).metrics() for seed in range(seeds)) if found]
            if len(metrics) < seeds:
                return f'{config}: not trained with {seeds} seeds.\n'
            scores[config] = [found['accuracy/top1'] for found in metrics]
        compared, body = differences(scores), []
        for config, values in scores.items():
            count, difference = costs(config, None, False), compared.get((config, self.configs[images][0]))
            body.append(
                [
                    f'`{config}`',
                    f'{mean(values):.2f} ± {stdev(values):.2f}',
                    f'{difference.mean:+.2f} ± {difference.margin:.2f}' if difference else '',
                    f'{count["parameters"] / 1e6:.3f}',
                    f'{count["macs"] / 1e6:.1f}',
                ]
            )
        heads = ['config', 'top-1 (%)', 'difference', 'parameters (M)', 'multiply-adds (M)']
        return '\n'.join(table_lines(heads, body)) + '\n'


# Larger kernels in the SMixer (the paper's outlook, Sec. V) of the small network of .miniature. The first config has
# the published ones, two stacked 3x3 with dilation 2. The others have one kernel in the low-frequency branch or two
# stacked ones, with dilation 2 or as the name says.
KERNELS = Networks(
    {
        'miniature': (
            'miniature/spartan_xt',
            *(f'kernels/{name}' for name in ('3_3_dilation_1', '3_3_dilation_3', '5', '5_5', '7', '7_7', '7_small')),
        ),
        'photographs': (
            'photographs/spartan_xt',
            *(f'kernels/photographs_{name}' for name in ('3_3_dilation_1', '5_5', '7_7', '7_small')),
        ),
    }
)

# SpaRTAN and networks of the paper's Table II by one recipe. Digits are too easy to tell networks of this size apart.
PEERS = Networks(
    {
        'photographs': tuple(
            f'photographs/peers/{name}'
            for name in (
                'spartan_xt',
                'spartan_t',
                'resnet18',
                'mobileone_s1',
                'efficientnet_b0',
                'van_b0',
                'convnext_atto',
            )
        )
    }
)
