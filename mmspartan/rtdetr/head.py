"""Head of RT-DETR: prediction branches, matching and losses (arXiv 2304.08069; authors' rtdetr_pytorch, Apache-2.0).

Differs from the authors' code in that it supports batches without objects, and matching costs that are not finite,
which the authors' code passes to SciPy.
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
from ..ops.host_numbers import tensor_like

# Indices of each matched pair: image of the batch, query, and object among all objects of the batch.
Match = tuple[Tensor, Tensor, Tensor]


def ground_truth(batch_data_samples: SampleList) -> tuple[list[Tensor], list[Tensor]]:
    """Return labels ``(n,)`` and boxes ``(n, 4)``, (cx, cy, w, h) relative to the padded input, of each image."""
    labels, boxes = [], []
    for sample in batch_data_samples:
        corners = sample.gt_instances.bboxes
        labels.append(sample.gt_instances.labels)
        boxes.append(bbox_xyxy_to_cxcywh(corners) / pixel_scale(corners, input_shape(sample.metainfo)))
    return labels, boxes


def input_shape(img_meta: dict) -> tuple[int, int]:
    """Return the height and width of the network's input, including the padding of the batch."""
    return img_meta.get('batch_input_shape', img_meta['img_shape'])


def pixel_scale(boxes: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return (width, height, width, height) of ``shape``, which scales relative boxes to pixels, like ``boxes``."""
    height, width = shape[:2]
    return tensor_like(boxes, [width, height, width, height])


def clip(corners: Tensor, shape: tuple[int, int]) -> Tensor:
    """Clip boxes (x1, y1, x2, y2) to an image of this height and width."""
    return corners.clamp(min=0).minimum(pixel_scale(corners, shape))


@MODELS.register_module()
class RTDETRHead(DeformableDETRHead):
    """One class branch and one box branch for each decoder layer and for query selection.

    Takes the arguments of mmdet's ``DeformableDETRHead``, of which the detector sets ``num_pred_layer``,
    ``share_pred_layer`` and ``as_two_stage``. ``loss_cls`` is an
    :class:`~mmspartan.rtdetr.varifocal_loss.IoUVarifocalLoss`. ``train_cfg.assigner.match_costs`` lists the terms of
    the matching cost.

    Raises:
        ValueError: If ``num_classes``, ``embed_dims``, ``num_reg_fcs`` or ``num_pred_layer`` is not a positive integer.
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
        """Predict logits and boxes of decoder layers.

        Args:
            hidden_states (Tensor): Outputs of all decoder layers or of the last ones, ``(layers, B, Q, C)``.
            references (list[Tensor]): The boxes ``(B, Q, 4)`` that each of them refines.

        Returns:
            tuple[Tensor, Tensor]: Logits ``(layers, B, Q, num_classes)`` and boxes ``(layers, B, Q, 4)``,
            (cx, cy, w, h) in [0, 1].
        """
        last = self.num_pred_layer - 1
        if not self.training:
            last = (self.test_cfg or {}).get('num_decoder_layers', last)
        first = last - len(hidden_states)
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
        """Compute the losses of all decoder layers, of the selected queries (``enc_``) and of denoising (``dn_``).

        Args:
            hidden_states (Tensor): ``(layers, B, Q, C)``, denoising queries first.
            references (list[Tensor]): The boxes ``(B, Q, 4)`` that each layer refines.
            enc_outputs_class (Tensor): Logits ``(B, num_queries, num_classes)`` of the selected queries.
            enc_outputs_coord (Tensor): Boxes ``(B, num_queries, 4)`` of the selected queries, in [0, 1].
            batch_data_samples: Data samples with ground truth.
            dn_meta (dict, optional): Numbers of denoising queries and groups.

        Returns:
            dict[str, Tensor]: Losses with the keys of mmdet's DINO: without a prefix for the last layer, with ``d{i}.``
            for layer i. If matching costs were not finite, ``num_skipped_matches`` is added.
        """
        logits, boxes = self(hidden_states, references)
        # losses in at least float32, whatever the precision of the network
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
        num_objects, num_dn_objects = reduce_mean(tensor_like(boxes, [sum(counts), sum(dn_counts)])).clamp(min=1)

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
            losses['num_skipped_matches'] = tensor_like(boxes, skipped)
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
        """Match predictions to objects, for all layers with one transfer of the costs to the host.

        Args:
            logits (Tensor): ``(layers, B, Q, num_classes)``.
            boxes (Tensor): (cx, cy, w, h) relative to the input, ``(layers, B, Q, 4)``.
            labels, targets (list[Tensor]): Labels ``(n,)`` and boxes ``(n, 4)`` of each image.
            shape (tuple[int, int]): Height and width of the input.

        Returns:
            tuple[list[Match], int]: A match for each layer, and the number of pairs that are left out, since no finite
            cost was left for their object.
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
            # a cost above all others makes such a pair the last choice; it is dropped below
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
        """Compute class, L1 and GIoU loss of a layer: ``logits`` ``(B, Q, num_classes)``, ``boxes`` ``(B, Q, 4)``."""
        image, query, obj = match
        predicted, target = boxes[image, query], targets[obj]
        # in pixels, since mmdet's overlaps clamp areas at 1e-6
        corners, target_corners = bbox_cxcywh_to_xyxy(predicted) * scale, bbox_cxcywh_to_xyxy(target) * scale

        target_labels = torch.full(logits.shape[:2], self.num_classes, dtype=torch.long, device=logits.device)
        target_labels[image, query] = labels[obj]
        ious = logits.new_zeros(logits.shape[:2])
        ious[image, query] = bbox_overlaps(corners.detach(), target_corners, is_aligned=True)
        # without a pair the sums are 0 but keep the branches in the graph, or DDP waits for their gradients
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
        """Select the ``test_cfg.max_per_img`` best pairs of query and class of each image, without NMS.

        Args:
            all_layers_cls_scores (Tensor): Logits ``(layers, B, Q, num_classes)``.
            all_layers_bbox_preds (Tensor): Boxes ``(layers, B, Q, 4)``, (cx, cy, w, h) in [0, 1].
            batch_img_metas (list[dict]): Meta information of each image.
            rescale (bool): Whether boxes refer to the original image instead of the resized one. Defaults to True.

        Returns:
            InstanceList: ``bboxes`` (x1, y1, x2, y2) in pixels, clipped to the image; ``scores`` in descending order;
            ``labels``. All pairs if there are fewer than ``max_per_img``. The dtype is float32 or float64, whatever the
            precision of the network.
        """
        return [
            self._predict_by_feat_single(logits, boxes, meta, rescale)
            for logits, boxes, meta in zip(all_layers_cls_scores[-1], all_layers_bbox_preds[-1], batch_img_metas)
        ]

    def _predict_by_feat_single(
        self, cls_score: Tensor, bbox_pred: Tensor, img_meta: dict, rescale: bool = True
    ) -> InstanceData:
        """Select the detections of one image from its logits ``(Q, num_classes)`` and boxes ``(Q, 4)``."""
        dtype = torch.promote_types(cls_score.dtype, torch.float32)
        scores = cls_score.to(dtype).sigmoid().flatten()
        max_per_img = (self.test_cfg or {}).get('max_per_img', len(cls_score))
        scores, pairs = scores.topk(min(max_per_img, len(scores)))

        corners = bbox_cxcywh_to_xyxy(bbox_pred[pairs // self.num_classes].to(dtype))
        # boxes are relative to the padded input, of which the image is the upper left part
        corners = clip(corners * pixel_scale(corners, input_shape(img_meta)), img_meta['img_shape'])
        if rescale:
            corners = corners / tensor_like(corners, img_meta['scale_factor']).repeat(2)
            # the division may round to values outside of the image
            corners = clip(corners, img_meta.get('ori_shape', (math.inf, math.inf)))
        return InstanceData(bboxes=corners, scores=scores, labels=pairs % self.num_classes)


def denoising_counts(counts: list[int], dn_meta: dict[str, int] | None) -> list[int]:
    """Return the number of objects of each image that denoising uses, given the number of all its objects."""
    if not dn_meta:
        return [0] * len(counts)
    most = dn_meta['num_denoising_queries'] // (2 * dn_meta['num_denoising_groups'])
    return [min(count, most) for count in counts]


def denoising_match(counts: list[int], dn_meta: dict[str, int], device: torch.device) -> Match:
    """Match denoising queries to objects: the k-th positive of each group to object k of its image."""
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
