"""Interactions of functions for which they are known in closed form."""

import math
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmspartan.analysis.interaction import LogOdds, interaction, neighbouring_pairs, random_contexts, strengths
from mmspartan.analysis.subject import Example

N = 9
ALL = math.comb(N - 2, 3) + 1  # no order has more contexts


def product(variables):
    return lambda shown: shown[:, variables].all(1).float()


def probability(n: int, k: int, order: int) -> float:
    """That a random context of ``order`` of ``n - 2`` variables holds ``k - 2`` given ones."""
    return math.comb(n - k, order - k + 2) / math.comb(n - 2, order) if order >= k - 2 else 0.0


@pytest.mark.parametrize('k', [2, 3, 5])
@pytest.mark.parametrize('order', range(N - 1))
def test_product_of_k_variables_interacts_from_order_k_minus_2_on(k, order):
    variables = list(range(1, 1 + k))
    found = interaction(product(variables), N, (1, 2), order, contexts=ALL)
    assert found == pytest.approx(probability(N, k, order), abs=1e-12)
    assert (found == 0) == (order < k - 2)


@pytest.mark.parametrize('order', [0, 3, 7])
def test_variables_outside_a_product_do_not_interact(order):
    assert interaction(product([1, 2, 3]), N, (1, 8), order, contexts=ALL) == 0


@pytest.mark.parametrize('order', [0, 2, 7])
def test_square_of_a_sum_interacts_by_twice_the_product_of_its_weights_at_every_order(order):
    weights = torch.arange(1.0, N + 1)
    found = interaction(lambda shown: (shown.float() @ weights) ** 2, N, (2, 5), order, contexts=4)
    assert found == pytest.approx(2 * 3 * 6, rel=1e-5)


def test_random_contexts_estimate_the_mean_over_all():
    n, k, order, contexts = 64, 4, 40, 4000
    expected = probability(n, k, order)
    found = interaction(product([0, 9, 20, 63]), n, (0, 9), order, contexts, torch.Generator().manual_seed(0))
    assert abs(found - expected) < 4 * math.sqrt(expected * (1 - expected) / contexts)


@pytest.mark.parametrize(('order', 'contexts', 'count'), [(0, 5, 1), (3, 5, 5), (3, 35, 35), (7, 5, 1)])
def test_contexts_have_their_order_and_neither_of_the_pair(order, contexts, count):
    shown = random_contexts(N, (0, 4), order, contexts)
    assert shown.shape == (count, N) and (shown.sum(1) == order).all()
    assert not shown[:, [0, 4]].any()
    if contexts == 35:  # all of them, each once
        assert len(shown.unique(dim=0)) == math.comb(N - 2, order)


@pytest.mark.parametrize('grid', [2, 4])
def test_pairs_are_those_that_touch_each_once(grid):
    pairs = neighbouring_pairs(grid, 10**6)
    cells = [divmod(i, grid) for i in range(grid * grid)]
    touching = {
        (i, j)
        for i, j in combinations(range(grid * grid), 2)
        if max(abs(cells[i][0] - cells[j][0]), abs(cells[i][1] - cells[j][1])) == 1
    }
    assert len(pairs) == len(set(pairs)) and set(pairs) == touching
    assert len(neighbouring_pairs(grid, 3)) == 3


def test_strength_is_the_mean_absolute_interaction_of_the_pairs():
    weights = torch.tensor([1.0, -1, 1, -1])  # a grid of 2 x 2: all six pairs touch, two have products of 1

    def value(shown):
        return (shown.float() @ weights) ** 2

    found = strengths(value, grid=2, orders=[0, 1, 2], pairs=6, contexts=10, seed=0)
    torch.testing.assert_close(found, torch.full((3,), 2.0))


class Patches:
    """Logits that are sums of the four quarters of an image of one channel."""

    def __call__(self, inputs, samples, mode):
        return torch.stack([inputs[:, 0, :2, :2], inputs[:, 0, :2, 2:], inputs[:, 0, 2:, :2]], 1).sum((2, 3))


def test_value_is_the_log_odds_of_the_predicted_class_for_the_patches_shown():
    subject = SimpleNamespace(model=Patches(), is_detector=False, name='patches')
    inputs = torch.tensor([[1.0, 1, 3, 3], [1, 1, 3, 3], [2, 2, 9, 9], [2, 2, 9, 9]])[None, None]
    value = LogOdds(subject, Example('a.png', np.zeros(0), np.zeros(0), inputs, []), grid=2, batch_size=3)
    assert value.category == 1
    shown = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0]], dtype=torch.bool)
    logits = torch.tensor([[4.0, 12, 8], [4, 0, 0], [0, 12, 0], [0, 0, 0]])
    chance = logits.double().softmax(1)[:, 1]
    torch.testing.assert_close(value(shown).double(), (chance / (1 - chance)).log(), atol=1e-4, rtol=1e-4)
