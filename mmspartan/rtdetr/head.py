"""Head of RT-DETR: prediction branches, matching and losses (arXiv 2304.08069; authors' rtdetr_pytorch, Apache-2.0).

Beyond the authors' code: batches without an object, and costs that are not finite, which it hands to SciPy.
"""

import logging
import math

import numpy as np
import torch
from mmdet.models.dense_heads import DeformableDETRHead
from mmdet.models.layers import inverse_sigmoid
from mmdet.structures import SampleList
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy, bbox_overlaps, bbox_xyxy_to_cxcywh
from mmdet.utils import InstanceList, reduce_mean
from mmengine.logging import print_log
from mmengine.registry import MODELS
from mmengine.structures import InstanceData
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ..checks import check_integers

# Image of the batch, query, and object among all of the batch, of each matched pair.
Match = tuple[Tensor, Tensor, Tensor]


def ground_truth(batch_data_samples: SampleList) -> tuple[list[Tensor], list[Tensor]]:
    """Labels ``(n,)`` and boxes ``(n, 4)``, as (cx, cy, w, h) relative to the padded input, of each image."""
    labels, boxes = [], []
    for sample in batch_data_samples:
        corners = sample.gt_instances.bboxes
        labels.append(sample.gt_instances.labels)
        boxes.append(bbox_xyxy_to_cxcywh(corners) / pixel_scale(corners, input_shape(sample.metainfo)))
    return labels, boxes


def input_shape(img_meta: dict) -> tuple[int, int]:
    """Height and width of what the network saw, padding of the batch included."""
    return img_meta.get('batch_input_shape', img_meta['img_shape'])


def pixel_scale(boxes: Tensor, shape: tuple[int, int]) -> Tensor:
    """Width, height, width, height of ``shape`` in type and place of ``boxes``: factors of relative boxes."""
    height, width = shape[:2]
    return boxes.new_tensor([width, height, width, height])


def clip(corners: Tensor, shape: tuple[int, int]) -> Tensor:
    """Boxes (x1, y1, x2, y2) within an image of this height and width."""
    return corners.clamp(min=0).minimum(pixel_scale(corners, shape))


@MODELS.register_module()
class RTDETRHead(DeformableDETRHead):
    """One class and one box branch for each decoder layer, and one of each for the selection of queries.

    Args: as mmdet's ``DeformableDETRHead``, of which the detector sets ``num_pred_layer``, ``share_pred_layer`` and
    ``as_two_stage``. ``loss_cls`` is an :class:`~mmspartan.rtdetr.varifocal_loss.IoUVarifocalLoss`;
    ``train_cfg.assigner.match_costs`` gives the terms of the matching cost.

    Raises:
        ValueError: If ``num_classes``, ``embed_dims``, ``num_reg_fcs`` or ``num_pred_layer`` is no positive integer.
    """

    def __init__(
        self, num_classes: int, embed_dims: int = 256, num_reg_fcs: int = 2, num_pred_layer: int = 6, **kwargs
    ):
        check_integers(
            'RTDETRHead',
            num_classes=num_classes,
            embed_dims=embed_dims,
            num_reg_fcs=num_reg_fcs,
            num_pred_layer=num_pred_layer,
        )
        super().__init__(
            num_classes, embed_dims=embed_dims, num_reg_fcs=num_reg_fcs, num_pred_layer=num_pred_layer, **kwargs
        )

    def forward(self, hidden_states: Tensor, references: list[Tensor], **kwargs) -> tuple[Tensor, Tensor]:
        """
        Args:
            hidden_states (Tensor): Of all decoder layers or of the last ones, ``(layers, B, Q, C)``.
            references (list[Tensor]): The boxes that each of them corrects, ``(B, Q, 4)``.

        Returns:
            tuple[Tensor, Tensor]: Logits ``(layers, B, Q, num_classes)`` and boxes, (cx, cy, w, h) in [0, 1].
        """
        first = self.num_pred_layer - 1 - len(hidden_states)
        logits, boxes = [], []
        for i, (hidden_state, reference) in enumerate(zip(hidden_states, references), first):
            logits.append(self.cls_branches[i](hidden_state))
            boxes.append((self.reg_branches[i](hidden_state) + inverse_sigmoid(reference)).sigmoid())
        return torch.stack(logits), torch.stack(boxes)

    def loss(
        self,
        hidden_states: Tensor,
        references: list[Tensor],
        enc_outputs_class: Tensor,
        enc_outputs_coord: Tensor,
        batch_data_samples: SampleList,
        dn_meta: dict[str, int] | None,
    ) -> dict[str, Tensor]:
        """Losses of all decoder layers, of the selected queries (``enc_``) and of denoising (``dn_``).

        Keys are those of mmdet's DINO: the last layer's without a prefix, layer i's with ``d{i}.``.
        ``num_skipped_matches`` is added, and logged, when costs were not finite.
        """
        logits, boxes = self(hidden_states, references)
        # whatever precision the network ran in
        dtype = torch.promote_types(logits.dtype, torch.float32)
        logits, boxes = logits.to(dtype), boxes.to(dtype)
        num_dn = dn_meta['num_denoising_queries'] if dn_meta else 0
        dn_logits, logits = logits.split([num_dn, logits.shape[2] - num_dn], dim=2)
        dn_boxes, boxes = boxes.split([num_dn, boxes.shape[2] - num_dn], dim=2)
        logits = torch.cat([logits, enc_outputs_class[None].to(dtype)])
        boxes = torch.cat([boxes, enc_outputs_coord[None].to(dtype)])

        shape = input_shape(batch_data_samples[0].metainfo)
        scale = pixel_scale(boxes, shape)
        labels, targets = ground_truth(batch_data_samples)
        targets = [target.to(dtype) for target in targets]
        counts = [len(label) for label in labels]
        dn_counts = denoising_counts(counts, dn_meta)
        num_objects, num_dn_objects = reduce_mean(boxes.new_tensor([sum(counts), sum(dn_counts)])).clamp(min=1)

        matches, skipped = self.match(logits, boxes, labels, targets, shape)
        num_layers = len(hidden_states)
        names = [f'd{i}.' for i in range(num_layers - 1)] + ['', 'enc_']
        label, target = torch.cat(labels), torch.cat(targets)
        losses: dict[str, Tensor] = {}
        for name, logit, box, match in zip(names, logits, boxes, matches):
            losses.update(self.loss_by_match(name, logit, box, match, label, target, scale, num_objects))
        if dn_meta:
            match = denoising_match(counts, dn_meta, boxes.device)
            average = num_dn_objects * dn_meta['num_denoising_groups']
            for name, logit, box in zip(names, dn_logits, dn_boxes):
                losses.update(self.loss_by_match(f'{name}dn_', logit, box, match, label, target, scale, average))
        if skipped:
            print_log(f'{skipped} matches skipped: their costs were not finite', 'current', logging.WARNING)
            losses['num_skipped_matches'] = boxes.new_tensor(skipped)
        return losses

    @torch.no_grad()
    def match(
        self,
        logits: Tensor,
        boxes: Tensor,
        labels: list[Tensor],
        targets: list[Tensor],
        shape: tuple[int, int],
    ) -> tuple[list[Match], int]:
        """Match predictions to objects, for all layers by one transfer of their costs to the host.

        Args:
            logits (Tensor): ``(layers, B, Q, num_classes)``.
            boxes (Tensor): (cx, cy, w, h) relative to the input, ``(layers, B, Q, 4)``.
            labels, targets (list[Tensor]): Of each image, ``(n,)`` and ``(n, 4)``.
            shape (tuple[int, int]): Height and width of the input.

        Returns:
            tuple[list[Match], int]: A match for each layer, and how many pairs were left out since no finite cost was
            left for an object.
        """
        num_layers, _, num_queries, _ = logits.shape
        scale = pixel_scale(boxes, shape)
        costs = []
        for i, (label, target) in enumerate(zip(labels, targets)):
            predicted = InstanceData(
                scores=logits[:, i].flatten(0, 1), bboxes=bbox_cxcywh_to_xyxy(boxes[:, i].flatten(0, 1)) * scale
            )
            objects = InstanceData(labels=label, bboxes=bbox_cxcywh_to_xyxy(target) * scale)
            if len(label):
                terms = [cost(predicted, objects, dict(img_shape=shape)) for cost in self.assigner.match_costs]
                costs.append(sum(terms).flatten())
        host = torch.cat(costs).cpu().numpy() if costs else np.empty(0)
        finite = np.isfinite(host)
        if not finite.all():
            # worse than any other, so that such a pair is the last resort; it is dropped below
            host = np.where(finite, host, 1 + 2 * np.abs(host, where=finite, out=np.zeros_like(host)).max(initial=0))

        pairs: list[list[np.ndarray]] = [[] for _ in range(num_layers)]
        position = before = skipped = 0
        for i, count in enumerate(map(len, labels)):
            size = num_layers * num_queries * count
            cost = host[position : position + size].reshape(num_layers, num_queries, count)
            usable = finite[position : position + size].reshape(num_layers, num_queries, count)
            for layer in range(num_layers):
                query, obj = linear_sum_assignment(cost[layer])
                kept = usable[layer, query, obj]
                skipped += int((~kept).sum())
                query, obj = query[kept], obj[kept]
                pairs[layer].append(np.stack([np.full_like(query, i), query, obj + before]))
            position, before = position + size, before + count
        stacked = [np.concatenate(pair, axis=1) for pair in pairs]
        lengths = [pair.shape[1] for pair in stacked]
        indices = torch.from_numpy(np.concatenate(stacked, axis=1)).to(boxes.device, non_blocking=True)
        return [tuple(match) for match in indices.split(lengths, dim=1)], skipped

    def loss_by_match(
        self,
        prefix: str,
        logits: Tensor,
        boxes: Tensor,
        match: Match,
        labels: Tensor,
        targets: Tensor,
        scale: Tensor,
        avg_factor: Tensor,
    ) -> dict[str, Tensor]:
        """Class, L1 and GIoU loss of one layer: ``logits`` ``(B, Q, num_classes)``, ``boxes`` ``(B, Q, 4)``."""
        image, query, obj = match
        predicted, target = boxes[image, query], targets[obj]
        # in pixels, since mmdet's overlaps take an area below 1e-6 for 1e-6
        corners, target_corners = bbox_cxcywh_to_xyxy(predicted) * scale, bbox_cxcywh_to_xyxy(target) * scale

        target_labels = torch.full(logits.shape[:2], self.num_classes, dtype=torch.long, device=logits.device)
        target_labels[image, query] = labels[obj]
        ious = logits.new_zeros(logits.shape[:2])
        ious[image, query] = bbox_overlaps(corners.detach(), target_corners, is_aligned=True)
        # sums over no pair are 0 and still reach the branches, which DDP waits for
        return {
            f'{prefix}loss_cls': self.loss_cls(logits, target_labels, ious, avg_factor=avg_factor),
            f'{prefix}loss_bbox': self.loss_bbox(predicted, target, reduction_override='none').sum() / avg_factor,
            f'{prefix}loss_iou': self.loss_iou(corners, target_corners, reduction_override='none').sum() / avg_factor,
        }

    def predict_by_feat(
        self,
        all_layers_cls_scores: Tensor,
        all_layers_bbox_preds: Tensor,
        batch_img_metas: list[dict],
        rescale: bool = True,
    ) -> InstanceList:
        """Detections of each image: the ``test_cfg.max_per_img`` best pairs of query and class, no NMS.

        Returns:
            InstanceList: ``bboxes`` (x1, y1, x2, y2) in pixels, of the original image if ``rescale``, and within it;
            ``scores`` in descending order; ``labels``. All pairs if there are fewer than ``max_per_img``. In float32
            or float64, whatever precision the network ran in.
        """
        return [
            self._predict_by_feat_single(logits, boxes, meta, rescale)
            for logits, boxes, meta in zip(all_layers_cls_scores[-1], all_layers_bbox_preds[-1], batch_img_metas)
        ]

    def _predict_by_feat_single(
        self, cls_score: Tensor, bbox_pred: Tensor, img_meta: dict, rescale: bool = True
    ) -> InstanceData:
        """Detections of one image from its logits ``(Q, num_classes)`` and boxes ``(Q, 4)``."""
        dtype = torch.promote_types(cls_score.dtype, torch.float32)
        scores = cls_score.to(dtype).sigmoid().flatten()
        max_per_img = (self.test_cfg or {}).get('max_per_img', len(cls_score))
        scores, pairs = scores.topk(min(max_per_img, len(scores)))

        corners = bbox_cxcywh_to_xyxy(bbox_pred[pairs // self.num_classes].to(dtype))
        # boxes are relative to the padded input, of which the image is the upper left part
        corners = clip(corners * pixel_scale(corners, input_shape(img_meta)), img_meta['img_shape'])
        if rescale:
            corners = corners / corners.new_tensor(img_meta['scale_factor']).repeat(2)
            # division may round beyond the border
            corners = clip(corners, img_meta.get('ori_shape', (math.inf, math.inf)))
        return InstanceData(bboxes=corners, scores=scores, labels=pairs % self.num_classes)


def denoising_counts(counts: list[int], dn_meta: dict[str, int] | None) -> list[int]:
    """How many objects of each image take part in denoising, of all that it has: the first ones of each image."""
    if not dn_meta:
        return [0] * len(counts)
    most = dn_meta['num_denoising_queries'] // (2 * dn_meta['num_denoising_groups'])
    return [min(count, most) for count in counts]


def denoising_match(counts: list[int], dn_meta: dict[str, int], device: torch.device) -> Match:
    """Which denoising query stands for which object: object k of an image for the k-th positive of each group."""
    groups = dn_meta['num_denoising_groups']
    group_size = dn_meta['num_denoising_queries'] // groups
    image: list[int] = []
    query: list[int] = []
    obj: list[int] = []
    before = 0
    for i, (count, taken) in enumerate(zip(counts, denoising_counts(counts, dn_meta))):
        for group in range(groups):
            image += [i] * taken
            query += range(group_size * group, group_size * group + taken)
            obj += range(before, before + taken)
        before += count
    return tuple(torch.tensor([image, query, obj], dtype=torch.long).to(device, non_blocking=True))
