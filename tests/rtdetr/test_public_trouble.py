"""What users of detectors of this kind run into, each as a promise: data, precision, copies, compilation."""

import copy
import pickle

import numpy as np
import pytest
import torch
from mmdet.datasets.transforms import PackDetInputs
from torch.testing import assert_close

from mmspartan.stack import release
from tests.conftest import require_convolution
from tests.rtdetr.test_detector import batch, build, losses_of, total


@pytest.fixture(scope='module')
def model():
    """Shared: tests may train it but do not step, and leave its options as they were."""
    return build()


@pytest.fixture(scope='module')
def deployed():
    model = build().eval()
    model.switch_to_deploy()
    return model


@pytest.fixture(autouse=True)
def no_gradients_are_left(model):
    yield
    model.zero_grad()


def parameters_without_gradient(model) -> list[str]:
    return [name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]


def detections(model, data: dict) -> list:
    with torch.no_grad():
        return [sample.pred_instances for sample in model.eval().test_step(copy.deepcopy(data))]


def test_denoising_is_normalized_by_the_objects_that_take_part(model):
    """Objects beyond the ceiling change neither the queries nor the losses of denoising."""
    data = batch(20)
    more = copy.deepcopy(data)
    instances = more['data_samples'][0].gt_instances
    more['data_samples'][0].gt_instances = type(instances).cat([instances, instances[:11]])
    found = []
    for images in (data, more):
        torch.manual_seed(1)
        found.append(losses_of(model, images))
    for name in ('dn_loss_cls', 'dn_loss_bbox', 'dn_loss_iou', 'd0.dn_loss_bbox'):
        assert_close(found[1][name], found[0][name])
    assert found[1]['loss_bbox'] != found[0]['loss_bbox']


@pytest.mark.parametrize('num_classes', [1, 1203])
def test_one_class_and_a_thousand_train_and_predict(num_classes):
    model = build(num_classes=num_classes, test_cfg=dict(max_per_img=300))
    losses = losses_of(model, batch(3, 2, num_classes=num_classes))
    assert all(loss.isfinite() for loss in losses.values())
    total(losses).backward()
    assert parameters_without_gradient(model) == []
    for found in detections(model, batch(1, 1)):
        assert len(found) == min(300, 30 * num_classes)
        assert found.labels.min() >= 0 and found.labels.max() < num_classes
        assert (found.scores.diff() <= 0).all()


def packed(flags: list[bool], boxes: list[list[float]]):
    """The sample that mmdet's pipeline makes of annotations, some of them of crowds."""
    results = dict(
        img=np.zeros((96, 128, 3), np.uint8),
        img_shape=(96, 128),
        ori_shape=(96, 128),
        scale_factor=(1.0, 1.0),
        gt_bboxes=np.array(boxes, np.float32),
        gt_bboxes_labels=np.zeros(len(boxes), np.int64),
        gt_ignore_flags=np.array(flags),
    )
    packed = PackDetInputs(meta_keys=('img_shape', 'ori_shape', 'scale_factor')).transform(results)
    for name in ('gt_instances', 'ignored_instances'):
        instances = getattr(packed['data_samples'], name)
        instances.bboxes = torch.as_tensor(instances.bboxes)
    return dict(inputs=[packed['inputs']], data_samples=[packed['data_samples']])


def test_image_of_crowds_alone_trains_as_one_without_objects(model):
    data = packed([True, True], [[5, 5, 60, 60], [20, 20, 90, 80]])
    assert len(data['data_samples'][0].ignored_instances) == 2 and len(data['data_samples'][0].gt_instances) == 0
    losses = losses_of(model, data)
    assert not any('dn_' in name for name in losses)
    assert losses['loss_bbox'] == losses['loss_iou'] == 0 and losses['loss_cls'] > 0
    total(losses).backward()
    assert parameters_without_gradient(model) == []


def test_crowd_beside_an_object_is_not_learnt(model):
    boxes = [[5, 5, 60, 60], [20, 20, 90, 80]]
    found = []
    for data in (packed([False], boxes[:1]), packed([False, True], boxes)):
        torch.manual_seed(1)
        found.append(total(losses_of(model, data)))
    assert torch.equal(*found)


@pytest.mark.parametrize('form', ['model', 'deployed'])
@pytest.mark.parametrize('copied', [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_predict_the_same(copied, form, request):
    model, data = request.getfixturevalue(form).eval(), batch(1, 1)
    for found, expected in zip(detections(copied(model), data), detections(model, data)):
        assert torch.equal(found.bboxes, expected.bboxes) and torch.equal(found.scores, expected.scores)
        assert torch.equal(found.labels, expected.labels)


@pytest.mark.skipif(
    release(torch.__version__) < (2, 2), reason="torch 2.1 breaks the graph at mmcv's attention, 2.14 not"
)
@pytest.mark.parametrize('form', ['model', 'deployed'])
def test_compiles_to_one_graph(form, request):
    model, images = request.getfixturevalue(form).eval(), torch.rand(2, 3, 96, 128)
    torch._dynamo.reset()
    with torch.no_grad():
        compiled = torch.compile(model, fullgraph=True, backend='eager')
        for found, expected in zip(compiled(images, mode='tensor'), model(images, mode='tensor')):
            assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@pytest.mark.parametrize('form', ['model', 'deployed'])
def test_half_precision_predicts_in_float32(form, dtype, request):
    require_convolution(dtype)
    model, data = copy.deepcopy(request.getfixturevalue(form)).eval(), batch(2, 1)
    expected = detections(model, data)
    model = model.to(dtype)
    logits, boxes = model(torch.rand(1, 3, 96, 96, dtype=dtype), mode='tensor')
    assert logits.dtype == dtype and boxes.dtype == torch.float32  # a pixel is less than half precision tells apart
    for found, wanted in zip(detections(model, data), expected):
        assert found.bboxes.numpy().dtype == found.scores.numpy().dtype == np.float32
        assert_close(found.scores, wanted.scores, rtol=0.1, atol=0)
        assert found.bboxes.isfinite().all()


def test_half_precision_of_the_whole_model_trains(model):
    half = copy.deepcopy(model).bfloat16()
    losses = losses_of(half, batch(3, 0))
    assert all(loss.isfinite() and loss.dtype == torch.float32 for loss in losses.values())
    total(losses).backward()
    assert parameters_without_gradient(half) == []


@pytest.mark.parametrize('branch', ['reg_branches', 'cls_branches'])
def test_predictions_that_are_not_finite_are_skipped_and_counted_by_the_loss(branch, model):
    """SciPy raises "matrix contains invalid numeric entries" for their costs."""
    broken = copy.deepcopy(model)
    last = getattr(broken.bbox_head, branch)[1]  # the branch of the last decoder layer, on which no other depends
    with torch.no_grad():
        for parameter in last.parameters():
            parameter.fill_(torch.nan)
    losses = losses_of(broken, batch(3, 2))
    assert losses['num_skipped_matches'] == 5
    assert all(
        losses[f'{name}_{kind}'].isfinite() for name in ('d0.loss', 'enc_loss') for kind in ('cls', 'bbox', 'iou')
    )
    assert not total(losses).isfinite()  # of which the training has to judge
