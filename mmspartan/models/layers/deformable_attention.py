"""Deformable attention of RT-DETR's decoder: mmcv's, without waiting for the GPU in each layer.

Where mmcv has no operator, on CPUs and in exported graphs, values are projected right into the order of dimensions that
``grid_sample`` takes, and levels are summed as they come: mmcv's own fallback turns all features around in each layer.
"""

import torch
from mmcv.cnn import build_norm_layer
from mmcv.cnn.bricks.transformer import FFN, MultiheadAttention
from mmcv.ops import MultiScaleDeformableAttention
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction
from mmdet.models.layers.transformer.deformable_detr_layers import DeformableDetrTransformerDecoderLayer
from mmengine.model import ModuleList
from torch import Tensor
from torch.nn.functional import grid_sample


class DeformableAttention(MultiScaleDeformableAttention):
    """mmcv's module for boxes as references, with the sizes of the levels as numbers.

    mmcv asserts on ``spatial_shapes``, a tensor, which makes the host wait for the GPU; without one it reads numbers
    out of that tensor, which cannot be exported.
    """

    def forward(
        self,
        query: Tensor,
        value: Tensor,
        query_pos: Tensor,
        reference_points: Tensor,
        spatial_shapes: Tensor,
        level_start_index: Tensor,
        shapes: list[tuple[int, int]],
        **kwargs,
    ) -> Tensor:
        """
        Args:
            query, query_pos (Tensor): ``(B, Q, C)``.
            value (Tensor): ``(B, N, C)``.
            reference_points (Tensor): Boxes (cx, cy, w, h) in [0, 1], ``(B, Q, L, 4)``.
            spatial_shapes, level_start_index (Tensor): ``(L, 2)`` and ``(L,)``, which the CUDA operator reads.
            shapes (list[tuple[int, int]]): The same heights and widths as numbers.

        Returns:
            Tensor: ``(B, Q, C)``, the query added.
        """
        batch, num_queries, _ = query.shape
        positioned = query + query_pos
        points = (self.num_heads, self.num_levels, self.num_points)
        offsets = self.sampling_offsets(positioned).view(batch, num_queries, *points, 2)
        weights = self.attention_weights(positioned).view(batch, num_queries, self.num_heads, -1).softmax(-1)
        weights = weights.view(batch, num_queries, *points)
        centers, sizes = reference_points[:, :, None, :, None].split(2, dim=-1)
        locations = centers + offsets / self.num_points * sizes * 0.5
        if value.is_cuda:
            value = self.value_proj(value).unflatten(2, (self.num_heads, -1))
            value = value.float() if value.dtype == torch.bfloat16 else value  # which mmcv's operator does not take
            output = MultiScaleDeformableAttnFunction.apply(
                value, spatial_shapes, level_start_index, locations, weights, self.im2col_step
            )
        else:
            output = self._sample(value, shapes, 2 * locations - 1, weights)
        return self.dropout(self.output_proj(output)) + query

    def _sample(self, value: Tensor, shapes: list[tuple[int, int]], grid: Tensor, weights: Tensor) -> Tensor:
        """Projected values ``(B, N, C)`` at ``grid`` ``(B, Q, heads, L, P, 2)`` in [-1, 1], weighted: ``(B, Q, C)``."""
        grid, weights = (x.transpose(1, 2).flatten(0, 1) for x in (grid, weights))  # (B * heads, Q, L, P, ...)
        total = 0
        for level, (height, width) in enumerate(shapes):
            features, value = value.split([height * width, value.shape[1] - height * width], dim=1)
            projected = self.value_proj.weight @ features.mT + self.value_proj.bias[:, None]  # (B, C, H * W)
            projected = projected.view(grid.shape[0], -1, height, width)
            sampled = grid_sample(projected, grid[:, :, level], align_corners=False)  # (B * heads, C / heads, Q, P)
            total = total + (sampled * weights[:, None, :, level]).sum(-1)
        return total.view(features.shape[0], -1, grid.shape[1]).mT


class RTDETRTransformerDecoderLayer(DeformableDetrTransformerDecoderLayer):
    """mmdet's layer with :class:`DeformableAttention`."""

    def _init_layers(self) -> None:
        self.self_attn = MultiheadAttention(**self.self_attn_cfg)
        self.cross_attn = DeformableAttention(**self.cross_attn_cfg)
        self.embed_dims = self.self_attn.embed_dims
        self.ffn = FFN(**self.ffn_cfg)
        self.norms = ModuleList(build_norm_layer(self.norm_cfg, self.embed_dims)[1] for _ in range(3))
