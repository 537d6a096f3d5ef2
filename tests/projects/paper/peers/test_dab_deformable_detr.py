"""Denoising without negatives, and the decoder of boxes, of DAB- and DN-Deformable-DETR."""

import pytest
import torch
from mmdet.models.layers import inverse_sigmoid
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData
from torch import Tensor

from projects.paper.peers.dab_deformable_detr import Denoising
from projects.paper.reproduction.configs import config_path
from tests.rtdetr.test_detector import batch

LABELS = [torch.tensor([3]), torch.tensor([1, 2])]
BOXES = [torch.tensor([[0.5, 0.4, 0.2, 0.3]]), torch.tensor([[0.3, 0.3, 0.2, 0.2], [0.6, 0.7, 0.1, 0.3]])]


def denoise(labels: list[Tensor] = LABELS, boxes: list[Tensor] = BOXES, **options):
    torch.manual_seed(0)
    return Denoising(8, 16, num_queries=3, num_groups=2, **options)(labels, boxes)


@pytest.fixture
def model():
    cfg = Config.fromfile(config_path('peers/dn_deformable_detr_r50_coco'))
    init_default_scope(cfg.default_scope)
    cfg.model.backbone.update(depth=18, init_cfg=None, norm_cfg=dict(type='BN'))
    cfg.model.neck.in_channels = [128, 256, 512]
    cfg.model.encoder.num_layers = cfg.model.decoder.num_layers = 2
    cfg.model.num_queries = 20
    cfg.model.test_cfg.max_per_img = 20
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model


def test_without_noise_each_group_is_the_ground_truth():
    content, box, _, meta = denoise(label_noise=0.0, box_noise=0.0)
    assert meta == dict(num_denoising_queries=4, num_denoising_groups=2)
    torch.testing.assert_close(box[1].sigmoid(), BOXES[1].repeat(2, 1))
    torch.testing.assert_close(box[0, ::2].sigmoid(), BOXES[0].repeat(2, 1))
    assert torch.equal(content[0, 0], content[0, 2]) and not torch.equal(content[1, 0], content[1, 1])
    assert torch.equal(content[..., -1], torch.ones(2, 4))
    assert not content[0, 1, :-1].any()  # padding


def test_noise_moves_centres_by_half_a_side_and_sides_by_one():
    box = torch.tensor([[0.5, 0.5, 0.2, 0.1]]).repeat(500, 1)
    _, noisy, _, _ = denoise([torch.zeros(500, dtype=torch.long)], [box], box_noise=0.4)
    largest = (noisy.sigmoid()[0] - box.repeat(2, 1)).abs().amax(0)
    torch.testing.assert_close(largest, 0.4 * torch.tensor([0.1, 0.05, 0.2, 0.1]), rtol=0.03, atol=0)


def test_that_fraction_of_the_labels_is_replaced():
    labels = torch.zeros(2000, dtype=torch.long)
    content, *_ = denoise([labels], [torch.full((2000, 4), 0.5)], label_noise=0.4)
    replaced = (content[0] != content[0].mode(0).values).any(-1).float().mean()
    assert replaced.item() == pytest.approx(0.4 * 7 / 8, abs=0.03)  # one in eight is replaced by itself


def test_groups_see_neither_each_other_nor_are_they_seen():
    *_, mask, _ = denoise()
    group = torch.tensor([0, 0, 1, 1, 2, 2, 2])
    assert torch.equal(mask, (group[:, None] != group) & (group < 2))


def test_there_are_no_queries_without_objects():
    content, box, mask, meta = denoise([LABELS[0][:0]] * 2, [BOXES[0][:0]] * 2)
    assert content.shape == (2, 0, 16) and box.shape == (2, 0, 4) and meta['num_denoising_queries'] == 0
    assert mask.shape == (3, 3) and not mask.any()


def test_denoising_does_not_change_what_the_other_queries_find(model):
    data = model.data_preprocessor(batch(3, shapes=[(128, 160)]), training=True)
    features = model.extract_feat(data['inputs'])
    training = model.forward_transformer(features, data['data_samples'])
    found = model.eval().forward_transformer(features, data['data_samples'])
    extra = training['dn_meta']['num_denoising_queries']
    assert extra > 0
    torch.testing.assert_close(training['hidden_states'][:, :, extra:], found['hidden_states'])
    for one, other in zip(training['references'], found['references']):
        torch.testing.assert_close(one[:, extra:], other)


def test_positions_are_encoded_from_the_boxes_of_the_layer_before(model):
    queries, seen = [], []
    for layer in model.decoder.layers:
        layer.register_forward_pre_hook(
            lambda module, args, kwargs: seen.append((kwargs['query_pos'], kwargs['reference_points'])),
            with_kwargs=True,
        )
        layer.register_forward_hook(lambda module, args, out: queries.append(out))
    data = model.data_preprocessor(batch(3, shapes=[(128, 160)]))
    found = model.eval().forward_transformer(model.extract_feat(data['inputs']), data['data_samples'])
    # as in DAB-DETR's equations: position = MLP(sine(box)), scaled by the content from the second layer on
    for i, (position, points) in enumerate(seen):
        box = found['references'][i]
        torch.testing.assert_close(points[:, :, 0], box)
        index = torch.arange(128)
        angle = 2 * torch.pi * box[..., [1, 0, 2, 3], None] / 10000 ** (2 * (index // 2) / 128)  # y, x, w, h
        sine = torch.where(index % 2 == 0, angle.sin(), angle.cos()).flatten(2)
        scale = model.decoder.query_scale(queries[i - 1]) if i else 1
        torch.testing.assert_close(position, model.decoder.ref_point_head(sine) * scale, rtol=1e-4, atol=1e-4)
        refined = model.bbox_head.reg_branches[i](queries[i]) + inverse_sigmoid(box)
        torch.testing.assert_close(found['references'][i + 1], refined.sigmoid())


def test_each_object_is_the_target_of_one_query_of_each_group(model):
    truth = InstanceData(labels=torch.tensor([4, 7]), bboxes=torch.tensor([[10.0, 20, 30, 60], [0, 0, 80, 40]]))
    meta = dict(num_denoising_queries=6, num_denoising_groups=2)
    labels, weights, boxes, box_weights, positive, negative = model.bbox_head._get_dn_targets_single(
        truth, dict(img_shape=(100, 200)), meta
    )
    assert labels.tolist() == [4, 7, 80, 4, 7, 80]
    assert weights.tolist() == [1, 1, 0, 1, 1, 0] and torch.equal(box_weights, weights[:, None].expand(6, 4))
    torch.testing.assert_close(boxes[3], torch.tensor([0.1, 0.4, 0.1, 0.4]))
    assert positive.tolist() == [0, 1, 3, 4] and negative.numel() == 0


def test_a_batch_without_objects_has_a_finite_loss_and_all_gradients(model):
    data = model.data_preprocessor(batch(0, shapes=[(128, 160)]), training=True)
    losses = model.train().loss(data['inputs'], data['data_samples'])
    total = sum(value for value in losses.values())
    assert total.isfinite()
    total.sum().backward()
    missing = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert missing == []


def test_boxes_must_be_refined_and_learnt(model):
    cfg = Config.fromfile(config_path('peers/dab_deformable_detr_r50_coco'))
    init_default_scope(cfg.default_scope)
    with pytest.raises(ValueError, match='with_box_refine must be True'):
        MODELS.build({**cfg.model, 'with_box_refine': False})
