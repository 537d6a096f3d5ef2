"""Head of RT-DETR: prediction branches, matching and losses (arXiv 2304.08069; authors' rtdetr_pytorch, Apache-2.0).

Differs from the authors' code in that it supports batches without objects, and matching costs that are not finite,
which the authors' code passes to SciPy.
"""

import logging
import math
from typing import NamedTuple

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

# Pairs of a query and an object whose costs are computed at once; several images together take fewer operations.
PAIRS = 2**22


class Matches(NamedTuple):
    """Matched pairs of all layers, those of the first layer first.

    Attributes:
        layer, image, query (Tensor): Indices of each pair's prediction, ``(M,)``.
        obj (Tensor): Index of each pair's object among all objects of the batch, ``(M,)``.
        counts (list[int]): Number of pairs of each layer.
    """

    layer: Tensor
    image: Tensor
    query: Tensor
    obj: Tensor
    counts: list[int]

    @classmethod
    def of(cls, indices: np.ndarray, counts: list[int], device: torch.device) -> 'Matches':
        """Make them of ``layer``, ``image``, ``query`` and ``obj`` as an array ``(4, M)`` on the host."""
        layer, image, query, obj = torch.from_numpy(indices).to(device, non_blocking=True)
        return cls(layer, image, query, obj, counts)

    def sums(self, values: Tensor) -> Tensor:
        """Sum values of the pairs, ``(M,)`` or ``(M, 4)``, over each layer."""
        if not sum(self.counts):
            return values.sum().expand(len(self.counts))  # mmdet's losses return a single 0 then
        if len(set(self.counts)) == 1:
            return values.reshape(len(self.counts), -1).sum(1)
        return torch.stack([part.sum() for part in values.split(self.counts)])


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
        logits, offsets = (
            torch.stack([branch(hidden_state) for branch, hidden_state in zip(branches[first:last], hidden_states)])
            for branches in (self.cls_branches, self.reg_branches)
        )
        return logits, (offsets + inverse_sigmoid(torch.stack(references))).sigmoid()

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
        objects = (torch.cat(labels), torch.cat(targets), scale)
        losses = self.loss_by_match(names, logits, boxes, matches, *objects, num_objects)
        if dn_meta:
            matches = denoising_matches(counts, dn_meta, num_layers, boxes.device)
            average = num_dn_objects * dn_meta['num_denoising_groups']
            dn_names = [f'{name}dn_' for name in names[:-1]]
            losses.update(self.loss_by_match(dn_names, dn_logits, dn_boxes, matches, *objects, average))
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
    ) -> tuple[Matches, int]:
        """Match predictions to objects, for all layers with one transfer of the costs to the host.

        Args:
            logits (Tensor): ``(layers, B, Q, num_classes)``.
            boxes (Tensor): (cx, cy, w, h) relative to the input, ``(layers, B, Q, 4)``.
            labels, targets (list[Tensor]): Labels ``(n,)`` and boxes ``(n, 4)`` of each image.
            shape (tuple[int, int]): Height and width of the input.

        Returns:
            tuple[Matches, int]: The matches, and the number of pairs that are left out, since no finite cost was left
            for their object.
        """
        num_layers, batch, num_queries, _ = logits.shape
        counts = [len(label) for label in labels]
        scale = pixel_scale(boxes, shape)
        corners = bbox_cxcywh_to_xyxy(boxes) * scale
        step = max(1, math.isqrt(PAIRS // (num_layers * num_queries * max(1, *counts))))
        costs = []
        for first in range(0, batch, step):
            images = slice(first, first + step)
            if sum(counts[images]):
                predicted = InstanceData(
                    scores=logits[:, images].flatten(0, 2), bboxes=corners[:, images].flatten(0, 2)
                )
                objects = InstanceData(
                    labels=torch.cat(labels[images]), bboxes=bbox_cxcywh_to_xyxy(torch.cat(targets[images])) * scale
                )
                terms = [cost(predicted, objects, dict(img_shape=shape)) for cost in self.assigner.match_costs]
                cost = sum(terms).view(num_layers, -1, num_queries, len(objects))
                # of the pairs of these images those within one image
                costs += [part[:, i] for i, part in enumerate(cost.split(counts[images], dim=3))]
        host = torch.cat(costs, dim=2).cpu().numpy() if costs else np.empty((num_layers, num_queries, 0))
        finite = np.isfinite(host)
        if not finite.all():
            # a cost above all others makes such a pair the last choice; it is dropped below
            host = np.where(finite, host, 1 + 2 * np.abs(host, where=finite, out=np.zeros_like(host)).max(initial=0))

        pairs: list[list[np.ndarray]] = [[] for _ in range(num_layers)]
        before = skipped = 0
        for i, count in enumerate(counts):
            columns = slice(before, before + count)
            for layer in range(num_layers):
                query, obj = linear_sum_assignment(host[layer, :, columns])
                kept = finite[layer, query, obj + before]
                skipped += int((~kept).sum())
                query, obj = query[kept], obj[kept]
                pairs[layer].append(np.stack([np.full_like(query, layer), np.full_like(query, i), query, obj + before]))
            before += count
        stacked = [np.concatenate(pair, axis=1) for pair in pairs]
        return Matches.of(np.concatenate(stacked, axis=1), [pair.shape[1] for pair in stacked], boxes.device), skipped

    def loss_by_match(
        self,
        names: list[str],
        logits: Tensor,
        boxes: Tensor,
        matches: Matches,
        labels: Tensor,
        targets: Tensor,
        scale: Tensor,
        avg_factor: Tensor,
    ) -> dict[str, Tensor]:
        """Compute class, L1 and GIoU loss of all layers at once.

        Args:
            names (list[str]): Prefix of each layer's losses.
            logits, boxes (Tensor): ``(layers, B, Q, num_classes)`` and ``(layers, B, Q, 4)``.
            matches (Matches): Pairs of them and objects.
            labels, targets (Tensor): Labels ``(n,)`` and boxes ``(n, 4)`` of all objects of the batch.
            scale (Tensor): (width, height, width, height) of the input.
            avg_factor (Tensor): Divisor of the sums.
        """
        index = (matches.layer, matches.image, matches.query)
        predicted, target = boxes[index], targets[matches.obj]
        # in pixels, since mmdet's overlaps clamp areas at 1e-6
        corners, target_corners = bbox_cxcywh_to_xyxy(predicted) * scale, bbox_cxcywh_to_xyxy(target) * scale

        target_labels = torch.full(logits.shape[:3], self.num_classes, dtype=torch.long, device=logits.device)
        target_labels[index] = labels[matches.obj]
        ious = logits.new_zeros(logits.shape[:3])
        ious[index] = bbox_overlaps(corners.detach(), target_corners, is_aligned=True)
        # without a pair the sums are 0 but keep the branches in the graph, or DDP waits for their gradients
        l1 = matches.sums(self.loss_bbox(predicted, target, reduction_override='none'))
        giou = matches.sums(self.loss_iou(corners, target_corners, reduction_override='none'))
        losses = dict(
            loss_cls=self.loss_cls(logits, target_labels, ious, avg_factor=avg_factor),
            loss_bbox=l1 / avg_factor,
            loss_iou=giou / avg_factor,
        )
        layers = zip(names, *(values.unbind() for values in losses.values()))
        return {f'{name}{key}': loss for name, *values in layers for key, loss in zip(losses, values)}

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


def denoising_matches(counts: list[int], dn_meta: dict[str, int], num_layers: int, device: torch.device) -> Matches:
    """Match denoising queries to objects in each layer: the k-th positive of each group to object k of its image."""
    groups = dn_meta['num_denoising_groups']
    group_size = dn_meta['num_denoising_queries'] // groups
    pairs: list[tuple[int, int, int]] = []
    before = 0
    for i, (count, taken) in enumerate(zip(counts, denoising_counts(counts, dn_meta))):
        pairs += [(i, group_size * group + k, before + k) for group in range(groups) for k in range(taken)]
        before += count
    layer = np.repeat(np.arange(num_layers), len(pairs))
    indices = np.vstack([layer, np.tile(np.array(pairs, dtype=np.int64).reshape(-1, 3).T, num_layers)])
    return Matches.of(indices, [len(pairs)] * num_layers, device)
