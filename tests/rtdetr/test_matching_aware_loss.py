"""Matchability-aware loss: values and gradients of DEIM's equation."""

import pytest
import torch
from mmengine.registry import MODELS

LABELS = torch.tensor([[0, 3, 2, 1], [3, 3, 0, 2]])  # of three classes; 3 is background
IOUS = torch.tensor([[0.9, 0.0, 0.1, 0.0], [0.0, 0.0, 1.0, 0.5]], dtype=torch.float64)  # also a match without overlap


@pytest.mark.parametrize(
    ('options', 'alpha', 'gamma'), [({}, 1.0, 1.5), (dict(alpha=0.3, gamma=2.0, loss_weight=4.0), 0.3, 2.0)]
)
def test_value_and_gradient_are_those_of_the_equation(options, alpha, gamma):
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    loss = MODELS.build(dict(type='MatchabilityAwareLoss', **options))(logits, LABELS, IOUS, avg_factor=5.0)
    (gradient,) = torch.autograd.grad(loss, logits)
    expected, expected_gradient = 0.0, torch.empty_like(logits)
    for image, query, kind in torch.cartesian_prod(*map(torch.arange, logits.shape)).tolist():
        score = logits[image, query, kind].detach().sigmoid()
        if LABELS[image, query] == kind:
            target, weight = IOUS[image, query] ** gamma, 1.0
        else:
            target, weight = 0.0, alpha * score**gamma
        expected -= weight * (target * score.log() + (1 - target) * (1 - score).log())
        expected_gradient[image, query, kind] = weight * (score - target)  # the weight has no gradient
    scale = options.get('loss_weight', 1.0) / 5
    torch.testing.assert_close(loss, scale * expected)
    torch.testing.assert_close(gradient, scale * expected_gradient)
