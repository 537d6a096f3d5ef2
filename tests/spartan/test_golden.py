"""SpaRTAN computes what the authors' implementation computes (float64)."""

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn
from torch.testing import assert_close

from mmspartan.convert.spartan import spartan_from_authors
from tests.conftest import TINY


class Classifier(nn.Module):
    """Backbone, global average pooling and linear layer, under the names of mmpretrain's ImageClassifier."""

    def __init__(self, **kwargs):
        super().__init__()
        self.backbone = MODELS.build(dict(type='SpaRTAN', arch=TINY, out_indices=(0, 1, 2, 3), **kwargs))
        self.head = nn.Module()
        self.head.fc = nn.Linear(48, 10)

    def forward(self, x):
        return self.head.fc(self.backbone(x)[-1].mean((2, 3)))


@pytest.fixture(params=[False, True], ids=['plain', 'with_cp'])
def model(request, golden_spartan):
    model = Classifier(with_cp=request.param).double()
    model.load_state_dict(spartan_from_authors(golden_spartan.group('sd')))
    return model


def test_stages_and_logits_in_evaluation(model, golden_spartan):
    model.eval()
    with torch.no_grad():
        stages = model.backbone(golden_spartan['x'])
        assert_close(model(golden_spartan['x']), golden_spartan['eval/logits'], rtol=0, atol=1e-9)
    for i, stage in enumerate(stages, 1):
        assert_close(stage, golden_spartan[f'eval/stage{i}'], rtol=0, atol=1e-9)


def test_logits_loss_and_every_gradient_in_training(model, golden_spartan):
    logits = model.train()(golden_spartan['x'])
    loss = logits.square().mean()
    loss.backward()
    assert_close(logits, golden_spartan['train/logits'], rtol=0, atol=1e-9)
    assert_close(loss, golden_spartan['train/loss'], rtol=0, atol=1e-9)

    expected = spartan_from_authors(golden_spartan.group('grad'))
    assert set(expected) == {name for name, _ in model.named_parameters()}
    for name, parameter in model.named_parameters():
        error, norm = (parameter.grad - expected[name]).norm(), expected[name].norm()
        # 1e-15: biases before a batch normalization, whose gradient is zero but for rounding
        assert error < 1e-8 * norm + 1e-15, f'{name}: error {error:.1e} of {norm:.1e}'
