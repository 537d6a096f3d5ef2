"""Varifocal loss towards the IoU: values by hand."""

import torch
from mmengine.registry import MODELS
from torch.nn.functional import softplus


def test_weight_is_the_iou_of_a_match_and_a_power_of_the_score_elsewhere():
    loss = MODELS.build(dict(type='IoUVarifocalLoss', alpha=0.5, gamma=3.0, loss_weight=2.0))
    logits, iou = torch.tensor([[[0.3, -1.2]]]), 0.6
    (a, b) = logits[0, 0]
    matched = iou * (iou * softplus(-a) + (1 - iou) * softplus(a))
    background = 0.5 * b.sigmoid() ** 3 * softplus(b)
    found = loss(logits, torch.tensor([[0]]), torch.tensor([[iou]]), avg_factor=4.0)
    torch.testing.assert_close(found, 2.0 * (matched + background) / 4)
