"""RT-DETR computes what the authors' implementation computes (float64)."""

import pytest
import torch
from mmdet.models.layers import inverse_sigmoid
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmengine.structures import InstanceData
from torch import Tensor
from torch.testing import assert_close

from mmspartan.convert.rtdetr import rtdetr_from_authors
from mmspartan.rtdetr import denoising, detector
from tests.conftest import TINY, Golden, build_model

SIZE = 128

CONFIG = dict(
    type='RTDETR',
    num_queries=30,
    backbone=dict(type='SpaRTAN', arch=TINY, out_indices=(1, 2, 3)),
    neck=dict(
        type='HybridEncoder',
        in_channels=TINY['channels'][1:],
        hidden_channels=64,
        feedforward_channels=128,
        expansion=0.5,
    ),
    decoder=dict(
        num_layers=2,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=64, num_heads=8, dropout=0.0),
            cross_attn_cfg=dict(embed_dims=64, num_heads=8, num_levels=3, num_points=4, dropout=0.0),
            ffn_cfg=dict(embed_dims=64, feedforward_channels=128, ffn_drop=0.0),
        ),
    ),
    bbox_head=dict(
        type='RTDETRHead',
        num_classes=10,
        embed_dims=64,
        loss_cls=dict(type='IoUVarifocalLoss'),
        loss_bbox=dict(type='mmdet.L1Loss', loss_weight=5.0),
        loss_iou=dict(type='mmdet.GIoULoss', loss_weight=2.0),
    ),
    dn_cfg=dict(num_denoising=20, label_noise=0.0, box_noise=1e-9),
    train_cfg=dict(
        assigner=dict(
            type='mmdet.HungarianAssigner',
            match_costs=[
                dict(type='mmdet.FocalLossCost', weight=2.0, eps=1e-8),
                dict(type='mmdet.BBoxL1Cost', weight=5.0, box_format='xywh'),
                dict(type='mmdet.IoUCost', iou_mode='giou', weight=2.0),
            ],
        )
    ),
    test_cfg=dict(max_per_img=30),
)


@pytest.fixture(scope='module')
def golden() -> Golden:
    return Golden('rtdetr_tiny.npz')


@pytest.fixture
def model(golden, monkeypatch):
    """The model of the golden file, where anchors and denoising queries are of float32.

    Their logits are those of the machine on which it was made: the last bit of a logarithm is the machine's.
    """
    stored = Golden('rtdetr_logits.npz')

    def logit(x: Tensor, *eps: float) -> Tensor:
        if x.dtype != torch.float32:
            return inverse_sigmoid(x, *eps)
        index = torch.searchsorted(stored['x'], x.double()).clamp(max=len(stored['x']) - 1)
        assert torch.equal(stored['x'][index], x.double())
        return stored['logit'][index].to(x.dtype)

    for module in (detector, denoising):
        monkeypatch.setattr(module, 'inverse_sigmoid', logit)
    model = build_model(CONFIG).double()
    model.generate_anchors = detector.RTDETR.generate_anchors.__wrapped__  # not those kept of other tests
    make = model.denoising.forward
    model.denoising.forward = lambda labels, boxes: make(labels, [box.float() for box in boxes])
    model.load_state_dict(rtdetr_from_authors(golden.group('sd'))[0])
    return model.eval()


def samples_of(objects: list[tuple[Tensor, Tensor]], size: int) -> list[DetDataSample]:
    """Samples of square images with objects, given as labels and boxes (cx, cy, w, h) in [0, 1]."""
    shape, samples = (size, size), []
    for labels, boxes in objects:
        meta = dict(img_shape=shape, ori_shape=shape, batch_input_shape=shape, scale_factor=(1.0, 1.0))
        sample = DetDataSample(metainfo=meta)
        sample.gt_instances = InstanceData(labels=labels, bboxes=bbox_cxcywh_to_xyxy(boxes) * size)
        samples.append(sample)
    return samples


@pytest.fixture
def samples(golden):
    return samples_of([(golden[f'gt{i}/labels'], golden[f'gt{i}/boxes_cxcywh']) for i in range(2)], SIZE)


@torch.no_grad()
def test_features_of_backbone_and_neck(model, golden):
    feats = model.backbone(golden['x'])
    encoded = model.neck(feats)
    for i in range(3):  # stored in float32
        assert_close(feats[i], golden[f'eval/backbone{i}'], rtol=2**-24, atol=1e-9)
        assert_close(encoded[i], golden[f'eval/neck{i}'], rtol=2**-24, atol=1e-9)


@torch.no_grad()
def test_logits_boxes_and_detections(model, golden, samples):
    logits, boxes = model(golden['x'], samples, mode='tensor')
    assert_close(logits[-1], golden['eval/pred_logits'], rtol=0, atol=1e-9)
    assert_close(boxes[-1], golden['eval/pred_boxes'], rtol=0, atol=1e-9)
    detected = model(golden['x'], samples, mode='predict')[0].pred_instances
    assert_close(detected.scores, golden['eval/scores'], rtol=0, atol=1e-9)
    assert torch.equal(detected.labels, golden['eval/labels'])
    assert_close(detected.bboxes, golden['eval/boxes_xyxy'], rtol=0, atol=1e-9)


# our names of the authors' losses; their second auxiliary output is the selection of queries
LOSSES = {'': '', 'd0.': '_aux_0', 'enc_': '_aux_1', 'd0.dn_': '_dn_0', 'dn_': '_dn_1'}
KINDS = {'loss_cls': 'loss_vfl', 'loss_bbox': 'loss_bbox', 'loss_iou': 'loss_giou'}


def test_each_loss_and_the_gradients(model, golden, samples):
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    losses = model(golden['x'], samples, mode='loss')
    expected = {
        prefix + ours: golden[f'loss/{theirs}{suffix}']
        for prefix, suffix in LOSSES.items()
        for ours, theirs in KINDS.items()
    }
    assert losses.keys() == expected.keys()
    for name, loss in losses.items():
        assert_close(loss, expected[name], rtol=0, atol=1e-9, msg=lambda text, name=name: f'{name}: {text}')
    total = sum(losses.values())
    assert_close(total, golden['loss_total'], rtol=0, atol=1e-9)

    total.backward()
    parameters = dict(model.named_parameters())
    names = golden.group('grad')
    # the mapping needs a decoder to count its layers
    renamed, _ = rtdetr_from_authors({**golden.group('sd'), **names})
    ours, _ = rtdetr_from_authors(
        {key: torch.tensor(key in names) for key in golden.group('sd') if 'backbone' not in key}
    )
    checked = [name for name, stored in ours.items() if stored]
    assert len(checked) == len([name for name in names if 'backbone' not in name]) > 20
    for name in checked:  # stored in float32
        close = dict(rtol=2**-24, atol=1e-9 * renamed[name].abs().max().item())
        assert_close(parameters[name].grad, renamed[name], **close, msg=lambda text, name=name: f'{name}: {text}')
