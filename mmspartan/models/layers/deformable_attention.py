"""Deformable attention of RT-DETR's decoder: mmcv's, without waiting for the GPU in each layer."""

from mmcv.cnn import build_norm_layer
from mmcv.cnn.bricks.transformer import FFN, MultiheadAttention
from mmcv.ops import MultiScaleDeformableAttention
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction, multi_scale_deformable_attn_pytorch
from mmdet.models.layers.transformer.deformable_detr_layers import DeformableDetrTransformerDecoderLayer
from mmengine.model import ModuleList
from torch import Tensor


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
        value = self.value_proj(value).unflatten(2, (self.num_heads, -1))
        points = (self.num_heads, self.num_levels, self.num_points)
        offsets = self.sampling_offsets(positioned).view(batch, num_queries, *points, 2)
        weights = self.attention_weights(positioned).view(batch, num_queries, self.num_heads, -1).softmax(-1)
        weights = weights.view(batch, num_queries, *points)
        centers, sizes = reference_points[:, :, None, :, None].split(2, dim=-1)
        locations = centers + offsets / self.num_points * sizes * 0.5
        if value.is_cuda:
            output = MultiScaleDeformableAttnFunction.apply(
                value, spatial_shapes, level_start_index, locations, weights, self.im2col_step
            )
        else:
            output = multi_scale_deformable_attn_pytorch(value, shapes, locations, weights)
        return self.dropout(self.output_proj(output)) + query


class RTDETRTransformerDecoderLayer(DeformableDetrTransformerDecoderLayer):
    """mmdet's layer with :class:`DeformableAttention`."""

    def _init_layers(self) -> None:
        self.self_attn = MultiheadAttention(**self.self_attn_cfg)
        self.cross_attn = DeformableAttention(**self.cross_attn_cfg)
        self.embed_dims = self.self_attn.embed_dims
        self.ffn = FFN(**self.ffn_cfg)
        self.norms = ModuleList(build_norm_layer(self.norm_cfg, self.embed_dims)[1] for _ in range(3))
