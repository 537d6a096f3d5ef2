"""Which differences between networks can be told from chance."""

import numpy as np
import pytest
from scipy.stats import ttest_rel

from projects.paper.reproduction.order import Difference, differences


def test_two_networks_are_compared_by_the_paired_t_test():
    one, other = [72.0, 73.1, 72.4], [73.0, 73.7, 73.6]
    found = differences(dict(one=one, other=other))['one', 'other']
    low, high = ttest_rel(one, other).confidence_interval(0.95)
    assert (found.mean - found.margin, found.mean + found.margin) == pytest.approx((low, high))


def test_what_all_networks_have_in_common_in_a_seed_is_no_spread():
    shift = np.array([0.0, 5.0, -3.0])
    noise = np.array([[0.1, -0.1, 0.0], [-0.1, 0.0, 0.1], [0.0, 0.1, -0.1]])
    scores = {name: 70 + shift + noise[i] + i for i, name in enumerate('abc')}
    # residuals are the noise: 6 * 0.01 over 4 degrees of freedom, of which 2.776 is the quantile
    margin = 2.776 * np.sqrt(2 * 0.015 / 3)
    assert differences(scores)['c', 'a'] == Difference(pytest.approx(2.0), pytest.approx(margin, rel=1e-3))
    assert differences(scores)['a', 'c'].mean == pytest.approx(-2.0)


@pytest.mark.parametrize(('mean', 'resolved'), [(0.31, True), (-0.31, True), (0.29, False), (-0.29, False)])
def test_resolved_if_the_interval_leaves_out_zero(mean, resolved):
    assert Difference(mean, 0.3).is_resolved == resolved
