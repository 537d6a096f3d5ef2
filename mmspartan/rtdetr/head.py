"""Head of RT-DETR: prediction branches, matching and losses (arXiv 2304.08069; authors' rtdetr_pytorch, Apache-2.0).

Differs from the authors' code in that it supports batches without objects, and matching costs that are not finite,
which the authors' code passes to SciPy.
"""

import logging
import math
from typing import Any

import numpy as np
import torch
from mmcv.cnn import build_activation_layer
from mmdet.models.dense_heads import DeformableDETRHead
from mmdet.models.layers import inverse_sigmoid
from mmdet.structures import SampleList
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from mmdet.utils import InstanceList, reduce_mean
from mmengine.logging import print_log
from mmengine.registry import MODELS
from mmengine.structures import InstanceData
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from ..checks import check_integers, check_numbers
from ..ops.host_numbers import tensor_like
from .matching import (
    Layers,
    MatchedBoxes,
    Matches,
    Objects,
    denoising_counts,
    denoising_pairs,
    ground_truth,
    input_shape,
    names_of_layers,
    pixel_scale,
)

# Pairs of a query and an object whose costs are computed at once; several images together take fewer operations.
PAIRS = 2**22


def clip(corners: Tensor, shape: tuple[int, int]) -> Tensor:
    """Clip boxes (x1, y1, x2, y2) to an image of this height and width."""
    return corners.clamp(min=0).minimum(pixel_scale(corners, shape))


@MODELS.register_module()
class RTDETRHead(DeformableDETRHead):
    """One class branch and one box branch for each decoder layer and for query selection.

    Takes the arguments of mmdet's ``DeformableDETRHead``, of which the detector sets ``num_pred_layer``,
    ``share_pred_layer`` and ``as_two_stage``. ``loss_cls`` is an
    :class:`~mmspartan.rtdetr.varifocal_loss.IoUVarifocalLoss`. ``act_cfg`` is the activation of the box branches, ReLU
    by default. ``train_cfg.assigner.match_costs`` lists the terms of the matching cost.

    Raises:
        ValueError: If ``num_classes``, ``embed_dims``, ``num_reg_fcs`` or ``num_pred_layer`` is not a positive integer.
    """

    def __init__(
        self,
        num_classes: int,
        embed_dims: int = 256,
        num_reg_fcs: int = 2,
        num_pred_layer: int = 6,
        act_cfg: dict = dict(type='ReLU'),
        **kwargs,
    ):
        check_integers(
            'RTDETRHead',
            num_classes=num_classes,
            embed_dims=embed_dims,
            num_reg_fcs=num_reg_fcs,
            num_pred_layer=num_pred_layer,
        )
        self.act_cfg = act_cfg
        super().__init__(
            num_classes, embed_dims=embed_dims, num_reg_fcs=num_reg_fcs, num_pred_layer=num_pred_layer, **kwargs
        )
        losses = {name: getattr(self, name) for name in ('loss_cls', 'loss_bbox', 'loss_iou')}
        factors = {f'{name}.loss_weight': getattr(loss, 'loss_weight', 1) for name, loss in losses.items()}
        check_numbers('RTDETRHead', '[0, inf)', **factors)

    def _init_layers(self) -> None:
        layers = range(self.num_pred_layer)
        self.cls_branches = nn.ModuleList(nn.Linear(self.embed_dims, self.cls_out_channels) for _ in layers)
        self.reg_branches = nn.ModuleList(self._reg_branch(4) for _ in layers)

    def _reg_branch(self, outputs: int) -> nn.Sequential:
        """Return a branch of ``num_reg_fcs`` hidden layers and one with this number of outputs."""
        hidden = [
            layer
            for _ in range(self.num_reg_fcs)
            for layer in (nn.Linear(self.embed_dims, self.embed_dims), build_activation_layer(self.act_cfg))
        ]
        return nn.Sequential(*hidden, nn.Linear(self.embed_dims, outputs))

    def forward(self, hidden_states: Tensor, references: list[Tensor], **kwargs) -> tuple[Tensor, Tensor]:
        """Predict logits and boxes of decoder layers.

        Args:
            hidden_states (Tensor): Outputs of all decoder layers or of the last ones, ``(layers, B, Q, C)``.
            references (list[Tensor]): The boxes ``(B, Q, 4)`` that each of them refines.

        Returns:
            tuple[Tensor, Tensor]: Logits ``(layers, B, Q, num_classes)`` and boxes ``(layers, B, Q, 4)``,
            (cx, cy, w, h) in [0, 1].
        """
        last = self.last_layer()
        first = last - len(hidden_states)
        logits, offsets = (
            torch.stack([branch(hidden_state) for branch, hidden_state in zip(branches[first:last], hidden_states)])
            for branches in (self.cls_branches, self.reg_branches)
        )
        return logits, (offsets + inverse_sigmoid(torch.stack(references))).sigmoid()

    def last_layer(self) -> int:
        """Return the number of decoder layers that are applied."""
        last = self.num_pred_layer - 1
        return last if self.training else (self.test_cfg or {}).get('num_decoder_layers', last)

    def loss(
        self,
        enc_outputs_class: Tensor,
        enc_outputs_coord: Tensor,
        batch_data_samples: SampleList,
        dn_meta: dict[str, int] | None,
        **decoded: Any,
    ) -> dict[str, Tensor]:
        """Compute the losses of all decoder layers, of the selected queries (``enc_``) and of denoising (``dn_``).

        Args:
            enc_outputs_class (Tensor): Logits ``(B, num_queries, num_classes)`` of the selected queries.
            enc_outputs_coord (Tensor): Boxes ``(B, num_queries, 4)`` of the selected queries, in [0, 1].
            batch_data_samples: Data samples with ground truth.
            dn_meta (dict, optional): Numbers of denoising queries and groups.
            **decoded: What the decoder returns, denoising queries first.

        Returns:
            dict[str, Tensor]: Losses with the keys of mmdet's DINO: without a prefix for the last layer, with ``d{i}.``
            for layer i. If matching costs were not finite, ``num_skipped_matches`` is added.
        """
        denoising, layers = self.predict_layers(**decoded).split(dn_meta['num_denoising_queries'] if dn_meta else 0)
        layers = layers.append('enc_', enc_outputs_class, enc_outputs_coord)
        objects = ground_truth(batch_data_samples, layers.boxes.dtype)
        device = layers.boxes.device

        pairs, skipped = self.match(layers.logits, layers.boxes, objects)
        box_pairs = self.match_boxes(pairs)
        num_dn_objects = sum(denoising_counts(objects.counts, dn_meta))
        numbers = [sum(objects.counts), sum(pair.shape[1] for pair in box_pairs) / len(box_pairs), num_dn_objects]
        average, box_average, dn_average = reduce_mean(tensor_like(layers.boxes, numbers)).clamp(min=1)

        matched = box_matched = MatchedBoxes.of(Matches.of(pairs, device), layers.boxes, objects)
        if box_pairs is pairs:
            box_average = average
        else:
            box_matched = MatchedBoxes.of(Matches.of(box_pairs, device), layers.boxes, objects)
        losses = self.loss_by_match(layers, matched, box_matched, objects, average, box_average)
        if dn_meta:
            dn_pairs = [denoising_pairs(objects.counts, dn_meta)] * len(denoising.names)
            matched = MatchedBoxes.of(Matches.of(dn_pairs, device), denoising.boxes, objects)
            dn_average = dn_average * dn_meta['num_denoising_groups']
            losses.update(self.loss_by_match(denoising, matched, matched, objects, dn_average, dn_average))
        if skipped:
            print_log(f'{skipped} matches skipped: their costs were not finite', 'current', logging.WARNING)
            losses['num_skipped_matches'] = tensor_like(layers.boxes, skipped)
        return losses

    def predict_layers(self, hidden_states: Tensor, references: list[Tensor]) -> Layers:
        """Return the predictions of all decoder layers, from what :meth:`forward` takes."""
        logits, boxes = self(hidden_states, references)
        # losses in at least float32, whatever the precision of the network
        dtype = torch.promote_types(logits.dtype, torch.float32)
        return Layers(names_of_layers(len(hidden_states)), logits.to(dtype), boxes.to(dtype))

    def match_boxes(self, pairs: list[np.ndarray]) -> list[np.ndarray]:
        """Return the pairs for the losses of boxes: those of the class loss."""
        return pairs

    @torch.no_grad()
    def match(self, logits: Tensor, boxes: Tensor, objects: Objects) -> tuple[list[np.ndarray], int]:
        """Match predictions to objects, for all layers with one transfer of the costs to the host.

        Args:
            logits (Tensor): ``(layers, B, Q, num_classes)``.
            boxes (Tensor): (cx, cy, w, h) relative to the input, ``(layers, B, Q, 4)``.
            objects (Objects): The objects of the batch.

        Returns:
            tuple[list[np.ndarray], int]: For each layer an array ``(3, m)`` with image and query of each pair, and its
            object among those of the batch; and the number of pairs that are left out, since no finite cost was left
            for their object.
        """
        num_layers, batch, num_queries, _ = logits.shape
        labels, targets, shape = objects
        counts = objects.counts
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
                wanted = InstanceData(
                    labels=torch.cat(labels[images]), bboxes=bbox_cxcywh_to_xyxy(torch.cat(targets[images])) * scale
                )
                terms = [cost(predicted, wanted, dict(img_shape=shape)) for cost in self.assigner.match_costs]
                cost = sum(terms).view(num_layers, -1, num_queries, len(wanted))
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
                pairs[layer].append(np.stack([np.full_like(query, i), query, obj + before]))
            before += count
        return [np.concatenate(pair, axis=1) for pair in pairs], skipped

    def loss_by_match(self, layers: Layers, *args: Any) -> dict[str, Tensor]:
        """Compute the losses of all layers at once; the arguments are those of :meth:`terms_by_match`."""
        by_layer = {key: values.unbind() for key, values in self.terms_by_match(layers, *args).items()}
        return {
            f'{name}{key}': values[i]
            for i, name in enumerate(layers.names)
            for key, values in by_layer.items()
            if i < len(values)
        }

    def terms_by_match(
        self,
        layers: Layers,
        matched: MatchedBoxes,
        box_matched: MatchedBoxes,
        objects: Objects,
        avg_factor: Tensor,
        box_avg_factor: Tensor,
    ) -> dict[str, Tensor]:
        """Compute class, L1 and GIoU loss of the layers.

        Args:
            layers (Layers): Predictions.
            matched, box_matched (MatchedBoxes): Pairs for the class loss and for the losses of boxes.
            objects (Objects): The objects of the batch.
            avg_factor, box_avg_factor (Tensor): Divisors of their sums.

        Returns:
            dict[str, Tensor]: Each loss as a tensor with a value for each of the first layers.
        """
        logits, index, obj = layers.logits, matched.matches.predictions, matched.matches.obj
        target_labels = torch.full(logits.shape[:3], self.num_classes, dtype=torch.long, device=logits.device)
        target_labels[index] = torch.cat(objects.labels)[obj]
        ious = logits.new_zeros(logits.shape[:3])
        ious[index] = matched.ious
        # without a pair the sums are 0 but keep the branches in the graph, or DDP waits for their gradients
        l1 = self.loss_bbox(box_matched.predicted, box_matched.target, reduction_override='none')
        giou = self.loss_iou(box_matched.corners, box_matched.target_corners, reduction_override='none')
        return dict(
            loss_cls=self.loss_cls(logits, target_labels, ious, avg_factor=avg_factor),
            loss_bbox=box_matched.matches.sums(l1) / box_avg_factor,
            loss_iou=box_matched.matches.sums(giou) / box_avg_factor,
        )

    def predict(self, batch_data_samples: SampleList, rescale: bool = True, **decoded: Any) -> InstanceList:
        """Return the detections of each image, from what the decoder returns."""
        metas = [sample.metainfo for sample in batch_data_samples]
        logits, boxes = self(**decoded)
        return self.predict_by_feat(logits, boxes, metas, rescale)

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
