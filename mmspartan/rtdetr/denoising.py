"""Contrastive denoising of RT-DETR's training, after DN-DETR (arXiv 2203.01305) and DINO (arXiv 2203.03605)."""

from collections.abc import Sequence

import torch
from mmdet.models.layers import inverse_sigmoid
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_xyxy_to_cxcywh
from mmengine.model import BaseModule
from torch import Tensor, nn

from ..checks import check_flags, check_integers, check_numbers


class ContrastiveDenoising(BaseModule):
    """Makes queries from noisy ground truth: groups of positive (near) and negative (farther) copies of each object.

    Differs from mmdet's ``CdnQueryGenerator`` as RT-DETR differs from DINO: images with fewer objects are padded by an
    extra class, whose embedding is zero, and noise can be 0.

    The corners of negatives may change places. RT-DETR's boxes then have a side of 0; those of D-FINE and DEIM keep the
    side's length.

    Args:
        num_classes (int): Number of classes of the detector.
        embed_dims (int): Channels of the queries.
        num_queries (int): Number of the detector's queries, which must not attend to the denoising queries.
        num_denoising (int): Largest number of positive queries. Denoising uses the first ``num_denoising`` objects of
            an image, in as many groups of a positive and a negative copy of each as this number allows, so there are
            at most ``2 * num_denoising`` queries. 0 disables denoising. Defaults to 100.
        label_noise (float): Twice the fraction of labels that are replaced by random ones, in [0, 2]. Defaults to 0.5.
        box_noise (float): Largest shift of the corners of positives, relative to half the side of the box, at least 0.
            Defaults to 1.0.
        keep_sides (bool): Whether boxes whose corners change places keep the length of their sides, as in D-FINE and
            DEIM. Defaults to False.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        num_classes: int,
        embed_dims: int,
        num_queries: int,
        num_denoising: int = 100,
        label_noise: float = 0.5,
        box_noise: float = 1.0,
        keep_sides: bool = False,
    ):
        super().__init__()
        check_integers('ContrastiveDenoising', num_classes=num_classes, embed_dims=embed_dims, num_queries=num_queries)
        check_integers('ContrastiveDenoising', 0, num_denoising=num_denoising)
        check_numbers('ContrastiveDenoising', '[0, 2]', label_noise=label_noise)
        check_numbers('ContrastiveDenoising', '[0, inf)', box_noise=box_noise)
        check_flags('ContrastiveDenoising', keep_sides=keep_sides)
        self.num_classes = num_classes
        self.num_queries = num_queries
        self.num_denoising = num_denoising
        self.label_noise = label_noise
        self.box_noise = box_noise
        self.keep_sides = keep_sides
        self.label_embedding = nn.Embedding(num_classes + 1, embed_dims, padding_idx=num_classes)

    def forward(
        self, labels: Sequence[Tensor], boxes: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor, dict[str, int]] | None:
        """Make the denoising queries of a batch.

        Args:
            labels: Labels ``(n_b,)`` of each of the B images.
            boxes: Boxes ``(n_b, 4)`` of each image, (cx, cy, w, h) relative to the image, in [0, 1].

        Returns:
            None if there is no object; else content ``(B, D, embed_dims)``, reference boxes before the sigmoid
            ``(B, D, 4)``, attention mask ``(D + num_queries, D + num_queries)``, true where a query must not attend,
            and mmdet's ``dn_meta``: ``num_denoising_queries`` D and ``num_denoising_groups``. A group has positives,
            then negatives, as many of each as the largest number of objects of an image.
        """
        labels = [label[: self.num_denoising] for label in labels]
        boxes = [box[: self.num_denoising] for box in boxes]
        most = max(len(label) for label in labels)
        if most == 0:
            return None
        groups = self.num_denoising // most
        label = nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=self.num_classes)
        box = nn.utils.rnn.pad_sequence(boxes, batch_first=True)
        label, box = label.repeat(1, 2 * groups), box.repeat(1, 2 * groups, 1)  # (B, D), (B, D, 4)

        replaced = (torch.rand_like(label, dtype=box.dtype) < self.label_noise / 2) & (label < self.num_classes)
        label = torch.where(replaced, torch.randint_like(label, self.num_classes), label)

        # corners move by up to half a side, those of negatives by half to a whole side
        negative = torch.arange(label.shape[1], device=label.device) // most % 2
        shift = torch.rand_like(box) + negative[:, None]
        sign = torch.randint_like(box, 2) * 2 - 1
        half_sides = box[..., 2:].repeat(1, 1, 2) / 2
        box = bbox_cxcywh_to_xyxy(box) + shift * sign * half_sides * self.box_noise
        box = bbox_xyxy_to_cxcywh(box.clamp(0, 1))
        if self.keep_sides:
            box = box.abs()

        meta = dict(num_denoising_queries=label.shape[1], num_denoising_groups=groups)
        mask = self.attention_mask(2 * most, groups, label.device)
        return self.label_embedding(label), inverse_sigmoid(box), mask, meta

    def attention_mask(self, group_size: int, groups: int, device: torch.device) -> Tensor:
        """Return the mask, true where a query must not attend: to other groups, from the detector's queries to any."""
        denoising = group_size * groups
        group = torch.arange(denoising + self.num_queries, device=device) // group_size
        group[denoising:] = groups
        return (group[:, None] != group) & (group < groups)
