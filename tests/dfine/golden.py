"""What the authors' implementations of RT-DETRv2, D-FINE and DEIM compute (float64), compared with this package."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from pytest import MonkeyPatch
from torch import Tensor, nn
from torch.testing import assert_close

from mmspartan import config_path
from mmspartan.convert.rtdetr import rtdetr_from_authors
from mmspartan.rtdetr.matching import Objects
from tests.conftest import build_model
from tests.convert.stored import Stored
from tests.dfine.make_golden import CLASSES, DENOISING, OBJECTS, QUERIES, SIZE, given_queries, images, weight
from tests.rtdetr.test_golden import samples_of

# our names of the authors' losses; DEIM's loss_mal is in the place of loss_vfl
KINDS = dict(loss_cls='loss_vfl', loss_bbox='loss_bbox', loss_iou='loss_giou', loss_fgl='loss_fgl', loss_ddf='loss_ddf')


class Golden(Stored):
    """The arrays of a size, and the model of a config with their weights."""

    def __init__(self, file: str, size: str, config: str, weight: Callable[[str, tuple[int, ...]], Tensor] = weight):
        super().__init__(file, size, weight)
        cfg = Config.fromfile(config_path(config)).model
        cfg.update(num_queries=QUERIES, dn_cfg=dict(num_denoising=DENOISING, label_noise=0.0, box_noise=1e-9))
        cfg.bbox_head.num_classes = CLASSES
        self.model: Any = build_model(cfg).double()
        incompatible = self.model.load_state_dict(rtdetr_from_authors(self.weights)[0], strict=False)
        assert not incompatible.unexpected_keys
        assert all(name.endswith('num_batches_tracked') for name in incompatible.missing_keys)

    @torch.no_grad()
    def assert_outputs(self) -> None:
        logits, boxes = self.model.eval()(images(), mode='tensor')
        assert_close(logits[-1], self.logits, rtol=0, atol=1e-9)
        assert_close(boxes[-1], self.boxes, rtol=0, atol=1e-9)

    def losses(self) -> dict[str, Tensor]:
        model = self.model.train()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        objects = [(torch.tensor(labels), torch.tensor(boxes).double()) for labels, boxes in OBJECTS]
        return model(images(), samples_of(objects, SIZE), mode='loss')

    def assert_losses_and_gradients(self, monkeypatch: MonkeyPatch) -> None:
        """Compare the losses of matches that are computed and of those that are given, and the gradients of both."""
        losses = self.losses()
        self.assert_losses(losses, 'loss')
        with monkeypatch.context() as patch:
            patch.setattr(self.model.bbox_head, 'match', match_given)
            given = self.losses()
        self.assert_losses(given, 'given')
        self.assert_gradients([*losses.values(), *given.values()])

    def assert_losses(self, losses: dict[str, Tensor], group: str) -> None:
        theirs = {name.replace('loss_mal', 'loss_vfl'): loss for name, loss in self.group(group).items()}
        layers = len(self.model.decoder.layers)
        suffixes = {'': '', 'pre_': '_pre', 'enc_': '_enc_0', 'dn_': f'_dn_{layers - 1}', 'pre_dn_': '_dn_pre'}
        for i in range(layers - 1):
            suffixes.update({f'd{i}.': f'_aux_{i}', f'd{i}.dn_': f'_dn_{i}'})
        names = {f'{ours}{kind}': f'{KINDS[kind]}{suffix}' for ours, suffix in suffixes.items() for kind in KINDS}
        expected = {ours: theirs.pop(name) for ours, name in names.items() if name in theirs}
        assert not theirs
        assert expected.pop('dn_loss_ddf', 0) == 0  # of the last layer towards itself
        assert losses.keys() == expected.keys()
        for name, loss in losses.items():
            assert_close(loss, expected[name], rtol=1e-8, atol=1e-8, msg=lambda text, name=name: f'{name}: {text}')

    def assert_gradients(self, losses: list[Tensor]) -> None:
        self.model.zero_grad()
        sum(losses).backward()
        parameters = dict(self.model.named_parameters())
        gradients = self.group('grad')
        # the mapping needs the other weights to count layers
        others = {name: value.new_full(value.shape, torch.nan) for name, value in self.weights.items()}
        renamed = {
            name: value
            for name, value in rtdetr_from_authors({**others, **gradients})[0].items()
            if not value.isnan().any()
        }
        assert len(renamed) >= len(gradients) > 30
        for name, gradient in renamed.items():
            error, norm = (parameters[name].grad - gradient).norm(), gradient.norm()
            assert error < 1e-8 * norm + 1e-10, f'{name}: error {error:.1e} of {norm:.1e}'


def match_given(logits: Tensor, boxes: Tensor, objects: Objects) -> tuple[list[np.ndarray], int]:
    """Return the pairs of image, query and object that the authors' losses were given, for each layer."""
    counts = objects.counts
    image = np.repeat(np.arange(len(counts)), counts)
    query = [np.concatenate([given_queries(*pair) for pair in zip(layer.detach(), counts)]) for layer in logits]
    return [np.stack([image, found, np.arange(len(image))]) for found in query], 0
