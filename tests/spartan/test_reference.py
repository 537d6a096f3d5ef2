"""The plain network that costs are compared with is the same network, and costs what the optimized one saves."""

import torch
from torch.testing import assert_close

from mmspartan.spartan.reference import ReferenceSpaRTAN
from tests.conftest import TINY


def test_reference_computes_what_the_authors_do(golden_spartan):
    model = ReferenceSpaRTAN(**TINY, num_classes=10).double()
    model.load_state_dict(golden_spartan.group('sd'))
    loss = model(golden_spartan['x']).square().mean()
    loss.backward()
    assert_close(loss, golden_spartan['train/loss'], rtol=0, atol=1e-9)
    for name, expected in golden_spartan.group('grad').items():
        gradient = model.get_parameter(name).grad
        assert (gradient - expected).norm() < 1e-8 * expected.norm() + 1e-15, name
    model.load_state_dict(golden_spartan.group('sd'))
    with torch.no_grad():
        assert_close(model.eval()(golden_spartan['x']), golden_spartan['eval/logits'], rtol=0, atol=1e-9)
