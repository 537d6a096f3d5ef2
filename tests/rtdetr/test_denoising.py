"""Denoising queries: their number is bounded, whatever the number of objects."""

import pytest
import torch

from mmspartan.rtdetr.denoising import ContrastiveDenoising


def denoise(counts: list[int], **options):
    torch.manual_seed(0)
    denoising = ContrastiveDenoising(num_classes=5, embed_dims=8, num_queries=3, **options)
    labels = [torch.randint(5, (count,)) for count in counts]
    boxes = [torch.rand(count, 4) * 0.2 + 0.3 for count in counts]
    return denoising(labels, boxes), labels, boxes, denoising


@pytest.mark.parametrize('counts', [[1], [3, 0], [7, 2], [99], [100], [101, 1], [700, 3, 0]])
def test_there_are_at_most_two_queries_for_each_that_was_asked_for(counts):
    (content, reference, mask, meta), *_ = denoise(counts, num_denoising=100)
    queries, groups = meta['num_denoising_queries'], meta['num_denoising_groups']
    most = min(max(counts), 100)
    assert queries == 2 * most * groups <= 200
    assert groups == 100 // most
    assert content.shape == (len(counts), queries, 8) and reference.shape == (len(counts), queries, 4)
    assert mask.shape == (queries + 3, queries + 3)


def test_first_objects_of_an_image_take_part():
    quiet = dict(label_noise=0.0, box_noise=0.0)
    (content, reference, _, meta), labels, boxes, denoising = denoise([9, 2], num_denoising=4, **quiet)
    assert meta == dict(num_denoising_queries=8, num_denoising_groups=1)
    torch.testing.assert_close(content[0], denoising.label_embedding(labels[0][:4]).repeat(2, 1))
    torch.testing.assert_close(reference[0].sigmoid(), boxes[0][:4].repeat(2, 1))
    torch.testing.assert_close(reference[1, :2].sigmoid(), boxes[1])
    assert not content[1, 2:4].any()  # the class of no object


def test_sides_of_boxes_whose_corners_change_places_are_kept_for_d_fine():
    (_, clamped, _, meta), *_ = denoise([2, 2], num_denoising=100)
    (_, kept, _, _), *_ = denoise([2, 2], num_denoising=100, keep_sides=True)
    clamped, kept = clamped.sigmoid(), kept.sigmoid()
    turned = clamped[..., 2:] < 1e-4
    assert 0.02 < turned.float().mean() < 0.3
    assert (kept[..., 2:] < 1e-4).float().mean() < 0.01
    torch.testing.assert_close(kept[..., :2], clamped[..., :2])
    torch.testing.assert_close(kept[..., 2:][~turned], clamped[..., 2:][~turned])


@pytest.mark.parametrize(('counts', 'num_denoising'), [([0, 0], 100), ([3, 1], 0)])
def test_without_objects_or_switched_off_there_are_none(counts, num_denoising):
    assert denoise(counts, num_denoising=num_denoising)[0] is None
