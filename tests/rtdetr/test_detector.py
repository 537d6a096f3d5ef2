"""RT-DETR where other implementations go wrong: batches without objects, sizes, padding, costs, precision."""

import copy

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmspartan.benchmark.costs import Operators
from mmspartan.rtdetr import head as rtdetr_head
from mmspartan.rtdetr.denoising import ContrastiveDenoising
from mmspartan.rtdetr.encoder import HybridEncoder, sine_positions
from mmspartan.rtdetr.matching import Objects
from tests.conftest import build_model, perturb, refuses, require_autocast
from tests.rtdetr.test_golden import CONFIG


def build(num_classes: int = 10, kind: str = 'RTDETR', **options):
    torch.manual_seed(0)
    cfg = copy.deepcopy({**CONFIG, **options, 'type': kind})
    if kind != 'RTDETR':
        cfg['neck']['type'], cfg['bbox_head']['type'] = f'{kind}Encoder', 'DFINEHead'
        cfg['decoder']['layer_cfg']['cross_attn_cfg'].setdefault('num_points', [3, 6, 3])
    if kind == 'DEIMv2':
        cfg['bbox_head']['loss_cls'] = dict(type='MatchabilityAwareLoss')
    cfg['bbox_head']['num_classes'] = num_classes
    if 'dn_cfg' not in options:
        cfg['dn_cfg'] = dict(num_denoising=20)
    preprocessor = dict(
        type='mmdet.DetDataPreprocessor', mean=[0] * 3, std=[255] * 3, bgr_to_rgb=True, pad_size_divisor=32
    )
    model = build_model({**cfg, 'data_preprocessor': preprocessor})
    model.init_weights()
    return model


def batch(*counts: int, shapes=None, num_classes: int = 10) -> dict:
    """Random images as a dataloader gives them, with these numbers of objects."""
    generator = torch.Generator().manual_seed(0)
    inputs, samples = [], []
    for i, count in enumerate(counts):
        height, width = shapes[i] if shapes else (96, 128)
        inputs.append(torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8))
        corner = torch.rand(count, 2, generator=generator) * 0.5
        boxes = torch.cat([corner, corner + 0.1 + 0.3 * torch.rand(count, 2, generator=generator)], 1)
        meta = dict(img_shape=(height, width), ori_shape=(height, width), scale_factor=(1.0, 1.0), img_id=i)
        sample = DetDataSample(metainfo=meta)
        sample.gt_instances = InstanceData(
            bboxes=boxes * torch.tensor([width, height] * 2),
            labels=torch.randint(0, num_classes, (count,), generator=generator),
        )
        sample.ignored_instances = InstanceData(bboxes=torch.empty(0, 4), labels=torch.empty(0, dtype=torch.long))
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


def losses_of(model, data: dict) -> dict:
    data = model.data_preprocessor(copy.deepcopy(data), training=True)
    return model.train()(**data, mode='loss')


def total(losses: dict) -> torch.Tensor:
    return sum(loss for name, loss in losses.items() if 'loss' in name)


kinds = pytest.mark.parametrize('kind', ['RTDETR', 'DFINE', 'DEIMv2'])


@kinds
@pytest.mark.parametrize('counts', [(3, 2), (0, 3, 0), (0, 0), (700, 1)])
def test_every_parameter_learns_whatever_the_number_of_objects(counts, kind):
    model = build(kind=kind)
    losses = losses_of(model, batch(*counts))
    assert all(loss.isfinite() for loss in losses.values())
    total(losses).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


@kinds
def test_the_host_waits_for_the_device_once_a_step_for_the_matching(kind, monkeypatch):
    model, transfers = build(kind=kind), []
    data = model.data_preprocessor(batch(3, 2), training=True)
    for name in ('cpu', 'item', 'tolist'):
        original = getattr(torch.Tensor, name)
        monkeypatch.setattr(
            torch.Tensor, name, lambda t, original=original: transfers.append(tuple(t.shape)) or original(t)
        )
    with Operators() as operators:
        model.train()(**data, mode='loss')
    waits = {'_local_scalar_dense', 'nonzero', 'masked_select', 'equal', 'is_nonzero', 'unique', '_unique2'}
    assert [name for name in operators.names if name in waits] == []
    # layers, query selection, boxes that D-FINE's first layer has at the beginning
    outputs = 2 + 1 + (kind != 'RTDETR')
    assert transfers == [(outputs, 30, 3 + 2)]  # queries, objects


@kinds
@torch.no_grad()
def test_deployed_gives_the_same(kind):
    model = build(kind=kind).double()
    perturb(model, 0.05)
    with pytest.raises(RuntimeError, match=kind + r'\.switch_to_deploy: call eval\(\) first'):
        model.train().switch_to_deploy()
    data = model.eval().data_preprocessor(batch(1, 1), training=False)
    images = data['inputs'].double()
    expected = model(images)
    weights = model.state_dict()
    model.switch_to_deploy()
    for found, wanted in zip(model(images)[0], expected[0]):
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)
    assert sum(p.numel() for p in model.parameters()) < sum(value.numel() for value in weights.values())
    assert not any('conv1' in name.partition('.blocks.')[2] or 'running' in name for name in model.state_dict())
    again = build(kind=kind, deploy=True).double()
    again.load_state_dict(model.state_dict())
    for found, wanted in zip(again(images)[0], expected[0]):
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


@kinds
@torch.no_grad()
@pytest.mark.parametrize('deployed', [False, True])
def test_fewer_decoder_layers_give_what_a_shorter_decoder_does(deployed, kind):
    decoder = dict(CONFIG['decoder'], num_layers=3)
    full = build(kind=kind, decoder=decoder).eval()
    for parameter in full.parameters():  # box branches start from zero
        parameter.add_(0.05 * torch.randn_like(parameter))
    early = build(kind=kind, decoder=decoder, test_cfg=dict(num_decoder_layers=1)).eval()
    short = build(kind=kind, decoder=dict(decoder, num_layers=1)).eval()
    early.load_state_dict(full.state_dict())
    weights = full.state_dict()
    for branches in ('bbox_head.cls_branches', 'bbox_head.reg_branches'):  # the last selects the queries
        weights.update(
            {key.replace('.3.', '.1.', 1): value for key, value in weights.items() if f'{branches}.3.' in key}
        )
    short.load_state_dict({key: weights[key] for key in short.state_dict()})
    if deployed:
        for model in (full, early, short):
            model.switch_to_deploy()
    images = torch.rand(2, 3, 96, 128, generator=torch.Generator().manual_seed(0))
    for found, expected, other in zip(early(images), short(images), full(images)):
        torch.testing.assert_close(found, expected)
        assert not torch.equal(found, other)
    if not deployed:
        assert 'd1.loss_cls' in losses_of(early.train(), batch(1, 1))  # training applies all layers


def test_number_of_feature_maps_is_checked():
    neck = HybridEncoder([8, 16, 24], hidden_channels=32)
    with refuses('HybridEncoder', 'the number of feature maps', 2):
        neck([torch.zeros(1, 8, 8, 8), torch.zeros(1, 16, 4, 4)])


@torch.no_grad()
def test_neck_with_another_normalization_deploys_without_folding_it():
    norm_cfg = dict(type='GN', num_groups=4)
    neck = HybridEncoder([8, 16, 24], hidden_channels=32, norm_cfg=norm_cfg).double().eval()
    sizes = zip((8, 16, 24), (8, 4, 2))
    feats = [torch.randn(1, channels, side, side, dtype=torch.float64) for channels, side in sizes]
    expected = neck(feats)
    neck.switch_to_deploy()
    for found, wanted in zip(neck(feats), expected):
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_costs_that_are_not_finite_are_skipped_and_counted(value, caplog):
    model = build().train()
    head = model.bbox_head
    logits, boxes = torch.randn(2, 1, 30, 10), torch.rand(2, 1, 30, 4) * 0.3 + 0.2
    labels, targets = [torch.tensor([1, 2])], [torch.tensor([[0.3, 0.3, 0.2, 0.2], [0.6, 0.6, 0.2, 0.2]])]
    objects = Objects(labels, targets, (96, 128))
    pairs, skipped = head.match(logits, boxes, objects)
    assert skipped == 0 and [pair.shape for pair in pairs] == [(3, 2)] * 2

    one_query = boxes.clone()
    query = pairs[0][1, 0]
    one_query[0, 0, query] = value
    rematched, skipped = head.match(logits, one_query, objects)
    assert skipped == 0 and query not in rematched[0][1]  # another query takes over


def test_matching_is_that_of_mmdets_assigner():
    model = build()
    logits, boxes = torch.randn(1, 1, 30, 10), torch.rand(1, 1, 30, 4) * 0.3 + 0.2
    labels, targets = torch.tensor([1, 2, 2]), torch.rand(3, 4) * 0.3 + 0.2
    (pairs,), _ = model.bbox_head.match(logits, boxes, Objects([labels], [targets], (96, 128)))
    scale = torch.tensor([128, 96, 128, 96])
    to_xyxy = rtdetr_head.bbox_cxcywh_to_xyxy
    assigned = model.bbox_head.assigner.assign(
        InstanceData(scores=logits[0, 0], bboxes=to_xyxy(boxes[0, 0]) * scale),
        InstanceData(labels=labels, bboxes=to_xyxy(targets) * scale),
        img_meta=dict(img_shape=(96, 128)),
    )
    queries = assigned.gt_inds.nonzero().squeeze(1)
    assert pairs[1].tolist() == queries.tolist() and pairs[2].tolist() == (assigned.gt_inds[queries] - 1).tolist()


@kinds
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast_trains_and_predicts(dtype, kind):
    require_autocast(dtype)
    model, data = build(kind=kind), batch(3, 2)
    with torch.autocast('cpu', dtype):
        losses = losses_of(model, data)
    assert all(loss.isfinite() and loss.dtype == torch.float32 for loss in losses.values())
    total(losses).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    with torch.autocast('cpu', dtype):
        predictions = model.eval().test_step(data)
    assert all(p.pred_instances.bboxes.isfinite().all() for p in predictions)


@pytest.mark.parametrize('shape', [(64, 64), (96, 160), (224, 32)])
def test_any_size_that_is_a_multiple_of_32(shape):
    model = build(num_queries=14, test_cfg=dict(max_per_img=14)).eval()
    (prediction,) = model.test_step(batch(1, shapes=[shape]))
    boxes = prediction.pred_instances.bboxes
    assert boxes.shape == (14, 4) and boxes[:, 0::2].max() <= shape[1] and boxes[:, 1::2].max() <= shape[0]


def test_features_that_a_backbone_rounds_down_name_the_padding():
    model = build().eval()
    model.data_preprocessor.pad_size_divisor = 1
    with refuses('HybridEncoder', 'the sides of the feature maps', [(12, 15), (6, 7), (3, 3)]):
        model.test_step(batch(1, shapes=[(96, 120)]))


def test_input_with_fewer_positions_than_queries_is_an_error():
    with pytest.raises(ValueError, match='21 positions, fewer than num_queries=30'):
        build().eval()(torch.rand(1, 3, 32, 32), mode='tensor')


def test_positions_follow_rows_and_columns_of_what_is_not_square():
    like = torch.zeros(1)
    square = sine_positions(5, 5, 16, 10000.0, like.device).view(5, 5, 16)
    wide = sine_positions(3, 5, 16, 10000.0, like.device).view(3, 5, 16)
    high = sine_positions(5, 3, 16, 10000.0, like.device).view(5, 3, 16)
    assert torch.equal(wide, square[:3]) and torch.equal(high, square[:, :3])


def test_padded_image_has_the_same_loss_and_boxes_as_the_padding_in_its_data():
    """Boxes are relative to the padded input in training and in prediction."""
    small, data = (64, 96), batch(2, 1, shapes=[(64, 96), (96, 128)])
    explicit = copy.deepcopy(data)
    explicit['inputs'][0] = torch.nn.functional.pad(data['inputs'][0], [0, 32, 0, 32])
    explicit['data_samples'][0].set_metainfo(dict(img_shape=(96, 128)))
    model = build()
    torch.manual_seed(1)
    padded = total(losses_of(model, data))
    model = build()
    torch.manual_seed(1)
    torch.testing.assert_close(padded, total(losses_of(model, explicit)))

    model.eval()
    predicted, expected = (model.test_step(copy.deepcopy(d))[0].pred_instances for d in (data, explicit))
    limit = torch.tensor([small[1], small[0]] * 2)
    torch.testing.assert_close(predicted.bboxes, expected.bboxes.minimum(limit))


def test_denoising_groups_do_not_see_each_other_and_queries_see_none():
    denoising = ContrastiveDenoising(num_classes=5, embed_dims=8, num_queries=3, num_denoising=4)
    mask = denoising.attention_mask(group_size=2, groups=2, device='cpu')
    x = True
    expected = [[0, 0, x, x], [0, 0, x, x], [x, x, 0, 0], [x, x, 0, 0], [x] * 4, [x] * 4, [x] * 4]
    assert torch.equal(mask[:, :4], torch.tensor(expected).bool())
    assert not mask[:, 4:].any()


def test_denoising_noise_is_as_large_as_said():
    torch.manual_seed(0)
    denoising = ContrastiveDenoising(num_classes=5, embed_dims=8, num_queries=3, num_denoising=4000, label_noise=0.5)
    box = torch.tensor([[0.5, 0.5, 0.2, 0.1]])
    content, reference, _, meta = denoising([torch.tensor([2])], [box])
    groups = meta['num_denoising_groups']
    assert meta == dict(num_denoising_queries=8000, num_denoising_groups=4000)
    corners = rtdetr_head.bbox_cxcywh_to_xyxy(reference.sigmoid()[0])
    shift = (corners - rtdetr_head.bbox_cxcywh_to_xyxy(box)).abs() / torch.tensor([0.1, 0.05, 0.1, 0.05])
    positive, negative = shift.view(groups, 2, 4).unbind(1)
    # corners may swap, which only the far ones of negatives do
    assert positive.max() < 1.001 and positive.mean().item() == pytest.approx(0.5, abs=0.02)
    assert negative.max() < 2.001 and negative.mean() > 1
    embedded = denoising.label_embedding.weight[2]
    changed = (content[0] != embedded).any(-1).float().mean().item()
    assert changed == pytest.approx(0.25 * 4 / 5, abs=0.03)  # a quarter, of which a fifth falls on the same class


def test_random_backbone_is_warned_of(monkeypatch):
    logged: list[str] = []
    monkeypatch.setattr('mmspartan.rtdetr.detector.print_log', lambda text, *args: logged.append(text))
    build()
    assert any('starts from random weights' in line and 'init_cfg' in line for line in logged)
