"""Differences between networks that were trained with the same seeds, and whether they can be told from chance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from scipy.stats import t


@dataclass(frozen=True)
class Difference:
    """Mean difference of two networks over the seeds.

    Args:
        mean: First minus second.
        margin: Half of its 95 % confidence interval.
    """

    mean: float
    margin: float

    @property
    def is_resolved(self) -> bool:
        """Whether the interval leaves out 0."""
        return abs(self.mean) > self.margin


def differences(scores: Mapping[str, Sequence[float]]) -> dict[tuple[str, str], Difference]:
    """Return the difference of each pair of networks by their names, in both orders.

    Networks are compared seed by seed. The spread of the paired differences is estimated from all networks together, by
    an analysis of variance with the seeds as blocks, since three seeds say little of one pair's spread. For two
    networks this is the paired t-test.

    Args:
        scores: Accuracies of each network, one for each seed; at least two networks and two seeds.
    """
    values = np.array(list(scores.values()), dtype=float)
    networks, seeds = values.shape
    means = values.mean(1, keepdims=True)
    residuals = values - means - values.mean(0, keepdims=True) + values.mean()
    degrees = (networks - 1) * (seeds - 1)
    variance = (residuals**2).sum() / degrees
    margin = float(t.ppf(0.975, degrees) * np.sqrt(2 * variance / seeds))
    pairs = permutations(zip(scores, means[:, 0]), 2)
    return {(one, other): Difference(float(a - b), margin) for (one, a), (other, b) in pairs}
