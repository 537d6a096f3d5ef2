"""DAB- and DN-Deformable-DETR (arXiv 2201.12329, 2203.01305) as peers of Table III, on mmdet's Deformable DETR.

mmdet has DAB-DETR, without deformable attention, and DINO, whose queries come from the encoder. What is added here to
Deformable DETR are queries that are learnt contents and anchor boxes, the decoder that encodes these boxes anew for
each layer, and denoising without negatives.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmcv.ops import MultiScaleDeformableAttention
from mmdet.models.dense_heads import DINOHead
from mmdet.models.detectors import DINO, DeformableDETR
from mmdet.models.layers import MLP, DeformableDetrTransformerEncoder, SinePositionalEncoding, inverse_sigmoid
from mmdet.models.layers.transformer import DeformableDetrTransformerDecoder
from mmdet.models.layers.transformer.utils import coordinate_to_encoding
from mmdet.structures import OptSampleList
from mmdet.structures.bbox import bbox_xyxy_to_cxcywh
from mmengine.registry import MODELS
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmspartan.rtdetr.denoising import ContrastiveDenoising


class AnchorDecoder(DeformableDetrTransformerDecoder):
    """Deformable DETR's decoder with positions of queries encoded from their present boxes (DAB-DETR Sec. 4)."""

    def _init_layers(self) -> None:
        super()._init_layers()
        self.ref_point_head = MLP(2 * self.embed_dims, self.embed_dims, self.embed_dims, 2)
        self.query_scale = MLP(self.embed_dims, self.embed_dims, self.embed_dims, 2)

    def forward(
        self, query: Tensor, reference_points: Tensor, valid_ratios: Tensor, reg_branches: nn.ModuleList, **kwargs
    ) -> tuple[Tensor, Tensor]:
        """Refine queries and boxes layer by layer.

        Args:
            query: Contents ``(B, Q, C)``.
            reference_points: Boxes ``(B, Q, 4)``, (cx, cy, w, h) relative to the image.
            valid_ratios: ``(B, levels, 2)``, parts of width and height that are not padding.
            reg_branches: A box branch for each layer.
            kwargs: Arguments of the layers.

        Returns:
            Contents ``(layers, B, Q, C)`` and boxes ``(layers, B, Q, 4)`` after each layer, boxes without gradient.
        """
        queries, boxes = [], []
        for i, (layer, reg_branch) in enumerate(zip(self.layers, reg_branches)):
            box = reference_points[:, :, None] * valid_ratios.repeat(1, 1, 2)[:, None]  # (B, Q, levels, 4)
            query_pos = self.ref_point_head(coordinate_to_encoding(box[:, :, 0], self.embed_dims // 2))
            if i > 0:
                query_pos = query_pos * self.query_scale(query)
            query = layer(query, query_pos=query_pos, reference_points=box, valid_ratios=valid_ratios, **kwargs)
            reference_points = (reg_branch(query) + inverse_sigmoid(reference_points)).sigmoid().detach()
            queries.append(query)
            boxes.append(reference_points)
        return torch.stack(queries), torch.stack(boxes)


class Denoising(ContrastiveDenoising):
    """Makes queries from noisy ground truth in groups without negatives (DN-DETR Sec. 4).

    The last channel of each query is an indicator: 1 here, 0 for the queries that are matched.

    Args:
        num_classes (int): Number of classes of the detector.
        embed_dims (int): Channels of the queries.
        num_queries (int): Number of the detector's queries, which must not attend to the denoising queries.
        num_groups (int): Copies of each object. Defaults to 5.
        label_noise (float): Fraction of labels that are replaced by random ones, in [0, 1]. Defaults to 0.2.
        box_noise (float): Largest change of a box's centre relative to half its sides, and of its sides relative to
            them. Defaults to 0.4.
    """

    def __init__(
        self,
        num_classes: int,
        embed_dims: int,
        num_queries: int,
        num_groups: int = 5,
        label_noise: float = 0.2,
        box_noise: float = 0.4,
    ):
        super().__init__(num_classes, embed_dims - 1, num_queries, label_noise=2 * label_noise, box_noise=box_noise)
        self.num_groups = num_groups

    def forward(
        self, labels: Sequence[Tensor], boxes: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor, Tensor, dict[str, int]]:
        """Make the denoising queries of a batch.

        Args:
            labels: Labels ``(n_b,)`` of each of the B images.
            boxes: Boxes ``(n_b, 4)`` of each image, (cx, cy, w, h) relative to the image.

        Returns:
            Content ``(B, D, embed_dims)``, reference boxes before the sigmoid ``(B, D, 4)``, attention mask
            ``(D + num_queries, D + num_queries)``, true where a query must not attend, and mmdet's ``dn_meta``. D is 0
            if there is no object.
        """
        most = max(len(label) for label in labels)
        label = nn.utils.rnn.pad_sequence(list(labels), batch_first=True, padding_value=self.num_classes)
        box = nn.utils.rnn.pad_sequence(list(boxes), batch_first=True)
        label, box = label.repeat(1, self.num_groups), box.repeat(1, self.num_groups, 1)  # (B, D), (B, D, 4)

        replaced = (torch.rand_like(label, dtype=box.dtype) < self.label_noise / 2) & (label < self.num_classes)
        label = torch.where(replaced, torch.randint_like(label, self.num_classes), label)
        sides = box[..., 2:]
        shift = (2 * torch.rand_like(box) - 1) * torch.cat([sides / 2, sides], dim=-1) * self.box_noise
        box = (box + shift).clamp(0, 1)

        content = nn.functional.pad(self.label_embedding(label), (0, 1), value=1.0)
        mask = label.new_zeros((self.num_queries, self.num_queries), dtype=torch.bool)
        if most:
            mask = self.attention_mask(most, self.num_groups, label.device)
        meta = dict(num_denoising_queries=label.shape[1], num_denoising_groups=self.num_groups)
        return content, inverse_sigmoid(box), mask, meta


@MODELS.register_module()
class DABDeformableDETR(DeformableDETR):
    """Deformable DETR with learnt contents and anchor boxes as queries, and box refinement; DN- with ``dn_cfg``.

    Args:
        dn_cfg (dict, optional): ``num_groups``, ``label_noise`` and ``box_noise`` of :class:`Denoising`, for
            DN-Deformable-DETR, whose head is ``DNDETRHead``. Defaults to None: no denoising, ``DeformableDETRHead``.
        kwargs: Arguments of ``DeformableDETR``, with ``with_box_refine=True`` and ``as_two_stage=False``.

    Raises:
        ValueError: If the boxes are not refined, or taken from the encoder.
    """

    forward_transformer = DINO.forward_transformer  # hands the ground truth to pre_decoder

    # of DeformableDETR, configs until _init_layers makes modules of the first three
    positional_encoding: Any
    encoder: Any
    decoder: Any
    embed_dims: int

    def __init__(self, dn_cfg: dict | None = None, **kwargs):
        self.denoises = dn_cfg is not None
        super().__init__(**kwargs)
        if not self.with_box_refine or self.as_two_stage:
            raise ValueError('DABDeformableDETR: with_box_refine must be True and as_two_stage False')
        if dn_cfg is not None:
            self.denoising = Denoising(self.bbox_head.num_classes, self.embed_dims, self.num_queries, **dn_cfg)

    def _init_layers(self) -> None:
        self.positional_encoding = SinePositionalEncoding(**self.positional_encoding)
        self.encoder = DeformableDetrTransformerEncoder(**self.encoder)
        self.decoder = AnchorDecoder(**self.decoder)
        self.embed_dims = self.encoder.embed_dims
        self.query_content = nn.Embedding(self.num_queries, self.embed_dims - self.denoises)  # one is the indicator
        self.query_anchor = nn.Embedding(self.num_queries, 4)
        self.level_embed = nn.Parameter(torch.empty(self.num_feature_levels, self.embed_dims))

    def init_weights(self) -> None:
        super(DeformableDETR, self).init_weights()
        for parameter in [*self.encoder.parameters(), *self.decoder.parameters()]:
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        for module in self.modules():
            if isinstance(module, MultiScaleDeformableAttention):
                module.init_weights()
        nn.init.normal_(self.level_embed)

    def pre_decoder(
        self, memory: Tensor, batch_data_samples: OptSampleList = None, **kwargs
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the arguments of ``forward_decoder`` and those of the head's loss.

        Args:
            memory: Features of the encoder ``(B, N, C)``.
            batch_data_samples: Samples with ``gt_instances``, read in training with denoising.
            kwargs: Not used: shapes and masks of the features, which DINO reads to choose queries.
        """
        batch = len(memory)
        content = self.query_content.weight.expand(batch, -1, -1)
        anchor = self.query_anchor.weight.expand(batch, -1, -1)
        mask = None
        head_inputs: dict[str, Any] = dict(enc_outputs_class=None, enc_outputs_coord=None) if self.training else {}
        if self.denoises:
            content = nn.functional.pad(content, (0, 1))
        if self.training and self.denoises:
            labels, boxes = _ground_truth(batch_data_samples or [])
            noisy_content, noisy_anchor, mask, head_inputs['dn_meta'] = self.denoising(labels, boxes)
            content, anchor = torch.cat([noisy_content, content], dim=1), torch.cat([noisy_anchor, anchor], dim=1)
            # a gradient for DDP if no image of the batch has an object
            content = content + 0 * self.denoising.label_embedding.weight.sum()
        decoder_inputs = dict(query=content, memory=memory, reference_points=anchor.sigmoid(), dn_mask=mask)
        return decoder_inputs, head_inputs

    def forward_decoder(
        self,
        query: Tensor,
        memory: Tensor,
        memory_mask: Tensor | None,
        reference_points: Tensor,
        dn_mask: Tensor | None,
        **kwargs,
    ) -> dict[str, Tensor | list[Tensor]]:
        """Return contents of each layer, and boxes before the first and after each layer."""
        queries, boxes = self.decoder(
            query=query,
            value=memory,
            key_padding_mask=memory_mask,
            self_attn_mask=dn_mask,
            reference_points=reference_points,
            reg_branches=self.bbox_head.reg_branches,
            **kwargs,
        )
        return dict(hidden_states=queries, references=[reference_points, *boxes])


def _ground_truth(samples: Sequence[Any]) -> tuple[list[Tensor], list[Tensor]]:
    """Return labels ``(n,)`` and boxes ``(n, 4)``, (cx, cy, w, h) relative to the image, of each sample."""
    labels, boxes = [], []
    for sample in samples:
        truth = sample.gt_instances
        height, width = sample.img_shape[:2]
        labels.append(truth.labels)
        boxes.append(bbox_xyxy_to_cxcywh(truth.bboxes) / truth.bboxes.new_tensor([width, height] * 2))
    return labels, boxes


@MODELS.register_module()
class DNDETRHead(DINOHead):
    """DINO's head for denoising without negatives: each object of an image is the target of a query of each group."""

    def _get_dn_targets_single(self, gt_instances: InstanceData, img_meta: dict, dn_meta: dict[str, int]) -> tuple:
        total, groups = dn_meta['num_denoising_queries'], dn_meta['num_denoising_groups']
        boxes, labels = gt_instances.bboxes, gt_instances.labels
        first = torch.arange(groups, device=boxes.device) * (total // groups)
        positive = (first[:, None] + torch.arange(len(labels), device=boxes.device)).flatten()
        height, width = img_meta['img_shape'][:2]

        targets = labels.new_full((total,), self.num_classes)
        targets[positive] = labels.repeat(groups)
        is_known = boxes.new_zeros(total)
        is_known[positive] = 1.0  # the others are padding
        box_targets = boxes.new_zeros(total, 4)
        box_targets[positive] = (bbox_xyxy_to_cxcywh(boxes) / boxes.new_tensor([width, height] * 2)).repeat(groups, 1)
        return targets, is_known, box_targets, is_known[:, None].expand(-1, 4), positive, positive[:0]
