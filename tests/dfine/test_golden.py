"""D-FINE computes what the authors' implementation computes, in every size (float64)."""

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import InstanceData
from torch.testing import assert_close

from mmspartan import config_path
from mmspartan.convert import rtdetr_from_authors
from tests.conftest import DATA
from tests.dfine.make_golden import CLASSES, DENOISING, OBJECTS, QUERIES, SIZE, SIZES, images, weight

# our names of the authors' losses
KINDS = dict(loss_cls='loss_vfl', loss_bbox='loss_bbox', loss_iou='loss_giou', loss_fgl='loss_fgl', loss_ddf='loss_ddf')


class Golden:
    def __init__(self, size: str):
        arrays = np.load(DATA / 'dfine.npz')
        self.arrays = {name.removeprefix(f'{size}/'): arrays[name] for name in arrays.files if name[0] == size}

    def group(self, name: str) -> dict[str, torch.Tensor]:
        found = [(key.removeprefix(f'{name}/'), value) for key, value in self.arrays.items() if f'{name}/' in key]
        return {key: torch.from_numpy(value) for key, value in found}

    def weights(self) -> dict[str, torch.Tensor]:
        shapes = [tuple(map(int, filter(None, shape.split('x')))) for shape in self.arrays['shapes']]
        return {name: weight(name, shape) for name, shape in zip(self.arrays['names'].tolist(), shapes)}


@pytest.fixture(scope='module', params=SIZES)
def golden(request) -> Golden:
    found = Golden(request.param)
    cfg = Config.fromfile(config_path(f'dfine_hgnetv2_{request.param}_coco')).model
    cfg.update(num_queries=QUERIES, dn_cfg=dict(num_denoising=DENOISING, label_noise=0.0, box_noise=1e-9))
    cfg.bbox_head.num_classes = CLASSES
    with DefaultScope.overwrite_default_scope('mmdet'):
        found.model = MODELS.build(cfg).double()
    incompatible = found.model.load_state_dict(rtdetr_from_authors(found.weights())[0], strict=False)
    assert not incompatible.unexpected_keys
    assert all(name.endswith('num_batches_tracked') for name in incompatible.missing_keys)
    return found


@pytest.fixture
def samples() -> list[DetDataSample]:
    shape, found = (SIZE, SIZE), []
    for labels, boxes in OBJECTS:
        meta = dict(img_shape=shape, ori_shape=shape, batch_input_shape=shape, scale_factor=(1.0, 1.0))
        sample = DetDataSample(metainfo=meta)
        corners = bbox_cxcywh_to_xyxy(torch.tensor(boxes).double()) * SIZE
        sample.gt_instances = InstanceData(labels=torch.tensor(labels), bboxes=corners)
        found.append(sample)
    return found


@torch.no_grad()
def test_logits_and_boxes(golden):
    logits, boxes = golden.model.eval()(images(), mode='tensor')
    expected = golden.arrays
    assert_close(logits[-1], torch.from_numpy(expected['logits']), rtol=0, atol=1e-9)
    assert_close(boxes[-1], torch.from_numpy(expected['boxes']), rtol=0, atol=1e-9)


def test_each_loss_and_the_gradients(golden, samples):
    model = golden.model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    losses = model(images(), samples, mode='loss')
    theirs = golden.group('loss')
    layers = len(model.decoder.layers)
    suffixes = {'': '', 'pre_': '_pre', 'enc_': '_enc_0', 'dn_': f'_dn_{layers - 1}', 'pre_dn_': '_dn_pre'}
    for i in range(layers - 1):
        suffixes.update({f'd{i}.': f'_aux_{i}', f'd{i}.dn_': f'_dn_{i}'})
    names = {f'{ours}{kind}': f'{KINDS[kind]}{suffix}' for ours, suffix in suffixes.items() for kind in KINDS}
    expected = {ours: theirs.pop(name) for ours, name in names.items() if name in theirs}
    assert not theirs
    assert expected.pop('dn_loss_ddf') == 0  # of the last layer towards itself
    assert losses.keys() == expected.keys()
    for name, loss in losses.items():
        assert_close(loss, expected[name], rtol=1e-8, atol=1e-8, msg=lambda text, name=name: f'{name}: {text}')

    model.zero_grad()
    sum(losses.values()).backward()
    parameters = dict(model.named_parameters())
    gradients = golden.group('grad')
    # the mapping needs the other weights to count layers
    others = {name: torch.zeros(()) for name in golden.arrays['names'].tolist() if name not in gradients}
    renamed = {name: value for name, value in rtdetr_from_authors({**others, **gradients})[0].items() if value.dim()}
    assert len(renamed) == len(gradients) > 30
    for name, gradient in renamed.items():
        error, norm = (parameters[name].grad - gradient).norm(), gradient.norm()
        assert error < 1e-8 * norm + 1e-10, f'{name}: error {error:.1e} of {norm:.1e}'
