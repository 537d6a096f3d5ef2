"""Parameters and multiply-adds are those of the paper and of the authors' code."""

import pytest
import torch
from torch import nn

from mmspartan.benchmark import costs
from mmspartan.spartan.backbone import ARCHS

PUBLISHED = {  # parameters with 1000 classes; multiply-adds at 224 and 256
    'xt': (2_222_792, {224: 0.631e9, 256: 0.824e9}),
    't': (3_820_296, {224: 0.818e9, 256: 1.069e9}),
}


def classifier_parameters(backbone: nn.Module, channels: int, num_classes: int = 1000) -> int:
    return sum(p.numel() for p in backbone.parameters()) + (channels + 1) * num_classes


def multiply_adds(model: nn.Module, size: int) -> float:
    return costs.multiply_adds(model, torch.zeros(1, 3, size, size)) * 1e9


@pytest.mark.parametrize('arch', ['xt', 't'])
def test_parameters_and_multiply_adds_are_the_published(arch, build_spartan):
    parameters, flops = PUBLISHED[arch]
    model = build_spartan(arch=arch)
    assert classifier_parameters(model, ARCHS[arch]['channels'][-1]) == parameters
    for size, expected in flops.items():
        assert multiply_adds(model, size) == pytest.approx(expected, rel=0.01)


def test_kinds_of_convolution_cost_what_table_8_says(build_spartan):
    models = {kind: build_spartan(arch='xt', conv_type=kind) for kind in ('full', 'depthwise', 'hybrid')}
    millions = {kind: round(classifier_parameters(model, 192) / 1e6, 1) for kind, model in models.items()}
    assert millions == {'full': 3.3, 'depthwise': 2.2, 'hybrid': 2.2}
    # what the table counts besides convolutions is the same for each kind
    counts = {kind: multiply_adds(model, 224) for kind, model in models.items()}
    assert counts['full'] - counts['hybrid'] == pytest.approx(754.2e6 - 614.4e6, rel=0.01)
    assert counts['hybrid'] - counts['depthwise'] == pytest.approx(614.4e6 - 539.2e6, rel=0.01)
