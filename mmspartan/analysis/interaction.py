"""Strength of interactions of each order (Deng et al., ICLR 2022, arXiv 2111.06236; the paper's Fig. 1a).

The interaction of order m between two patches i and j of an image is the mean over contexts S of m other patches of

    f(S with i and j) - f(S with i) - f(S with j) + f(S),

where f is the log odds of a class if only these patches are shown. Its strength is its absolute value, in the mean of
images and of pairs of neighbouring patches, relative to the mean over orders.

Differs from Deng et al. in the class: theirs is the label of the image, here it is what the model predicts for the
whole image, so that images need no labels.
"""

import math
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..errors import InputError
from .subject import Example, Subject

Value = Callable[[Tensor], Tensor]


def interaction(value: Value, n: int, pair: tuple[int, int], order: int, contexts: int, generator=None) -> float:
    """Compute the interaction between a pair of ``n`` variables.

    Args:
        value: Maps ``(B, n)``, true for the variables that are shown, to ``(B,)``.
        order: Number of other variables in a context, 0 to ``n - 2``.
        contexts: Random contexts over which the mean is taken; all of them if there are no more.
    """
    shown = random_contexts(n, pair, order, contexts, generator)
    count = len(shown)
    shown = shown.repeat(4, 1)
    shown[: 2 * count, pair[0]] = True  # both, i, j, none
    shown[:count, pair[1]] = shown[2 * count : 3 * count, pair[1]] = True
    both, first, second, none = value(shown).double().view(4, count)
    return float((both - first - second + none).mean())


def random_contexts(n: int, pair: tuple[int, int], order: int, contexts: int, generator=None) -> Tensor:
    """Choose contexts of ``order`` variables outside a pair, ``(contexts, n)``; all of them if there are no more."""
    others = torch.tensor([k for k in range(n) if k not in pair])
    count = math.comb(n - 2, order)
    if count <= contexts:
        chosen = torch.tensor(list(combinations(range(n - 2), order)), dtype=torch.long).view(count, order)
    else:
        chosen = torch.rand(contexts, n - 2, generator=generator).argsort(1)[:, :order]
    return torch.zeros(len(chosen), n, dtype=torch.bool).scatter_(1, others[chosen], True)


def neighbouring_pairs(grid: int, count: int, generator=None) -> list[tuple[int, int]]:
    """Choose pairs of patches that touch, also at a corner, in a square of ``grid * grid`` patches."""
    pairs = [
        (row * grid + column, (row + down) * grid + column + right)
        for row in range(grid)
        for column in range(grid)
        for down, right in ((0, 1), (1, -1), (1, 0), (1, 1))
        if row + down < grid and 0 <= column + right < grid
    ]
    return [pairs[i] for i in torch.randperm(len(pairs), generator=generator)[:count].tolist()]


class LogOdds:
    """The log odds of the class that a classifier predicts, if only some of ``grid * grid`` patches are shown.

    The others have the value zero after normalization, the mean color of the training set. ``batch_size`` counts
    images at a time.

    Raises:
        InputError: If the model is a detector, or the input has fewer pixels than patches.
    """

    def __init__(self, subject: Subject, example: Example, grid: int, batch_size: int):
        if subject.is_detector:
            raise InputError(f'{subject.name}: is a detector; interactions are those of classifiers')
        size = example.inputs.shape[2:]
        if not 2 <= grid <= min(size):
            raise InputError(f'--grid {grid}: must be 2 to {min(size)}, the pixels of the input of {subject.name}')
        self.subject, self.inputs, self.grid, self.batch_size = subject, example.inputs, grid, batch_size
        with torch.inference_mode():
            self.category = int(self._logits(example.inputs).argmax())

    @torch.inference_mode()
    def __call__(self, shown: Tensor) -> Tensor:
        """Map ``(B, grid * grid)``, true for the patches that are shown, to ``(B,)``."""
        return torch.cat([self._of_batch(part) for part in shown.split(self.batch_size)])

    def _of_batch(self, shown: Tensor) -> Tensor:
        patches = shown.view(-1, 1, self.grid, self.grid).to(self.inputs)
        logits = self._logits(self.inputs * interpolate(patches, self.inputs.shape[2:], mode='nearest'))
        others = torch.arange(logits.shape[1], device=logits.device) != self.category
        return (logits[:, self.category] - logits[:, others].logsumexp(1)).cpu()

    def _logits(self, inputs: Tensor) -> Tensor:
        return self.subject.model(inputs, None, mode='tensor')


def strengths(value: Value, grid: int, orders: Sequence[int], pairs: int, contexts: int, seed: int) -> Tensor:
    """Return the mean absolute interaction of neighbouring pairs for each order."""
    generator = torch.Generator().manual_seed(seed)
    chosen = neighbouring_pairs(grid, pairs, generator)
    return torch.tensor(
        [
            sum(abs(interaction(value, grid * grid, pair, order, contexts, generator)) for pair in chosen) / len(chosen)
            for order in orders
        ]
    )


def draw_strengths(curves: dict[str, Tensor], shares: Sequence[float], path: Path) -> None:
    """Draw mean and standard deviation over images.

    Args:
        curves: Relative strengths ``(images, orders)`` by the name of the model.
        shares: The orders, relative to the largest.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout='constrained')
    panel = figure.subplots()
    for name, values in curves.items():
        mean, spread = values.mean(0), values.std(0, correction=0)
        panel.plot(shares, mean, 'o-', label=name)
        panel.fill_between(shares, mean - spread, mean + spread, alpha=0.2)
    panel.set(
        xlabel='order, relative to the number of patches', ylabel='relative strength of interaction', ylim=(0, None)
    )
    panel.grid(alpha=0.3)
    panel.legend(fontsize=8)
    figure.savefig(path, dpi=110)
