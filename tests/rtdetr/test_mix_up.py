"""MixUp of a batch: pixels and objects by hand, batches without objects, random numbers, arguments."""

import random

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch.testing import assert_close

from mmspartan.rtdetr.mix_up import BatchMixUp
from mmspartan.runs.randomness import seed_from


def batch(*counts: int, sizes=(64, 96, 32)):
    """Images of 64 x 96 that are 0, 1, 2, ..., with boxes and labels that tell whose they are."""
    samples = []
    for i, count in enumerate(counts):
        sample = DetDataSample(metainfo=dict(img_shape=(64, sizes[i]), pad_shape=(64, sizes[i])))
        bboxes, labels = torch.full((count, 4), i + 0.5), torch.arange(count) + 10 * i
        sample.gt_instances = InstanceData(bboxes=bboxes, labels=labels)
        sample.ignored_instances = InstanceData(bboxes=torch.full((i, 4), float(i)), labels=torch.full((i,), i))
        samples.append(sample)
    return torch.arange(float(len(counts)))[:, None, None, None].expand(-1, 3, 64, 96), samples


def test_each_image_is_mixed_with_the_previous_one_and_has_the_objects_of_both():
    images, samples = batch(2, 0, 1)
    mixed, found = BatchMixUp(prob=1.0, ratio=(0.4, 0.4))(images, samples)
    for i, value in enumerate((0.4 * 0 + 0.6 * 2, 0.4 * 1 + 0.6 * 0, 0.4 * 2 + 0.6 * 1)):
        assert_close(mixed[i], torch.full((3, 64, 96), value))
    assert [sample.gt_instances.labels.tolist() for sample in found] == [[0, 1, 20], [0, 1], [20]]
    assert [sample.gt_instances.bboxes[:, 3].tolist() for sample in found] == [[0.5, 0.5, 2.5], [0.5, 0.5], [2.5]]
    assert [sample.ignored_instances.labels.tolist() for sample in found] == [[2, 2], [1], [2, 2, 1]]
    assert [sample.img_shape for sample in found] == [(64, 64), (64, 96), (64, 96)]
    assert [len(sample.gt_instances) for sample in samples] == [2, 0, 1]


def test_batch_without_objects_and_batch_of_one():
    _, found = BatchMixUp(prob=1.0)(*batch(0, 0))
    assert all(sample.gt_instances.bboxes.shape == (0, 4) for sample in found)
    images, samples = batch(2)
    mixed, found = BatchMixUp(prob=1.0)(images, samples)
    assert mixed is images and len(found[0].gt_instances) == 2


def ratios(augment, seeds) -> list[float | None]:
    """Weight of the second image in the second one for each seed, None without a mix."""
    found = []
    for seed in seeds:
        seed_from(*seed)
        images, samples = batch(1, 1)
        mixed, _ = augment(images, samples)
        found.append(None if mixed is images else mixed[1, 0, 0, 0].item())
    return found


def test_ratio_and_probability_depend_on_process_and_iteration():
    augment, first, second = (BatchMixUp(), *([(0, rank, i) for i in range(200)] for rank in (0, 1)))
    drawn = ratios(augment, first)
    mixed = [ratio for ratio in drawn if ratio is not None]
    assert len(mixed) / 200 == pytest.approx(0.5, abs=0.1)
    assert all(0.45 <= ratio <= 0.55 for ratio in mixed) and max(mixed) - min(mixed) > 0.09
    random.random()
    assert ratios(augment, first[::-1])[::-1] == drawn
    other = ratios(augment, second)
    assert sum((one is None) == (two is None) for one, two in zip(drawn, other)) / 200 == pytest.approx(0.5, abs=0.1)


SCRIPT = """
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from mmspartan.rtdetr import BatchMixUp
from mmspartan.runs.randomness import seed_from
from tests.rtdetr.test_detector import batch, build, total

dist.init_process_group('gloo')
inner = build()
inner.data_preprocessor.batch_augments = torch.nn.ModuleList([BatchMixUp()])
model, mixed = DistributedDataParallel(inner.train()), []
for iteration, counts in enumerate([(3, 0), (0, 0), (2, 1), (1, 4)]):
    seed_from(0, dist.get_rank(), iteration)
    data = inner.data_preprocessor(batch(*counts), training=True)
    mixed.append(sum(len(sample.gt_instances) for sample in data['data_samples']) > sum(counts))
    total(model(**data, mode='loss')).backward()
gradient = torch.cat([parameter.grad.flatten() for parameter in inner.parameters()])
gradients, draws = [torch.empty_like(gradient) for _ in range(2)], [None, None]
dist.all_gather(gradients, gradient)
dist.all_gather_object(draws, mixed)
dist.destroy_process_group()
assert gradient.isfinite().all() and torch.equal(*gradients)
assert draws[0] != draws[1], draws
"""


def test_processes_that_mix_and_others_that_do_not_have_the_same_gradients(two_processes):
    two_processes(SCRIPT)
