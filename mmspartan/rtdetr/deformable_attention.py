"""Deformable attention of RT-DETR's decoder: mmcv's module without synchronization with the GPU in each layer.

mmcv's operator runs on GPUs, if mmcv was built with it. On CPUs, on GPUs without the operator, and in compiled or
exported graphs, which cannot have it, values are projected to the layout that ``grid_sample`` expects. mmcv's fallback
permutes the features of each level.
"""

import logging
from functools import cache

import torch
from mmcv.ops import MultiScaleDeformableAttention, get_compiling_cuda_version
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction
from mmengine.logging import print_log
from torch import Tensor
from torch.nn.functional import conv2d, grid_sample

from ..ops.device import on_gpu
from ..ops.tracing import is_exported, is_traced

HAS_OPERATOR = get_compiling_cuda_version() != 'not available'


def has_operator(value: Tensor) -> bool:
    """Whether mmcv's operator runs on the device of the values, outside of graphs."""
    if is_traced() or not value.is_cuda:
        return False
    if not HAS_OPERATOR:
        report_missing_operator()
    return HAS_OPERATOR


@cache
def report_missing_operator() -> None:
    """Log once that a GPU is used without mmcv's operator."""
    print_log(
        'mmcv was built without CUDA operators: deformable attention runs grid_sample on the GPU, with the same values',
        'current',
        logging.WARNING,
    )


class DeformableAttention(MultiScaleDeformableAttention):
    """mmcv's module for reference boxes, with the sizes of the levels as Python numbers.

    mmcv checks the tensor ``spatial_shapes`` by an assertion, for which the host waits for the GPU. On CPUs it reads
    numbers from this tensor, which cannot be exported.
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
        """Attend to the features around the reference boxes.

        Args:
            query, query_pos (Tensor): ``(B, Q, C)``.
            value (Tensor): Features of all levels, ``(B, N, C)``.
            reference_points (Tensor): Boxes (cx, cy, w, h) in [0, 1], ``(B, Q, L, 4)``.
            spatial_shapes, level_start_index (Tensor): ``(L, 2)`` and ``(L,)``, for the CUDA operator.
            shapes (list[tuple[int, int]]): Heights and widths of the levels as Python numbers.

        Returns:
            Tensor: ``(B, Q, C)``, including the residual connection from ``query``.
        """
        batch, num_queries, _ = query.shape
        positioned = query + query_pos
        points = (self.num_heads, self.num_levels, self.num_points)
        offsets = self.sampling_offsets(positioned).view(batch, num_queries, *points, 2)
        weights = self.attention_weights(positioned).view(batch, num_queries, self.num_heads, -1).softmax(-1)
        weights = weights.view(batch, num_queries, *points)
        centers, sizes = reference_points[:, :, None, :, None].split(2, dim=-1)
        locations = centers + offsets / self.num_points * sizes * 0.5
        if has_operator(value):
            value = self.value_proj(value).unflatten(2, (self.num_heads, -1))
            # the operator rounds the points to the precision of the values, and does not support bfloat16
            value = value.to(locations.dtype)
            output = MultiScaleDeformableAttnFunction.apply(
                value, spatial_shapes, level_start_index, locations, weights, self.im2col_step
            )
        else:
            output = self._sample(self._project(value, shapes), 2 * locations - 1, weights)
        return self.dropout(self.output_proj(output.to(query.dtype))) + query

    def _project(self, value: Tensor, shapes: list[tuple[int, int]]) -> list[Tensor]:
        """Project features ``(B, N, C)`` to values ``(B, C, H, W)`` of each level."""
        sizes = [height * width for height, width in shapes]
        if on_gpu(value) and not is_traced():  # a pass over the values more, and a tenth of the operations
            levels = self.value_proj(value).mT.contiguous().split(sizes, dim=2)
            return [level.unflatten(2, shape) for level, shape in zip(levels, shapes)]
        levels = value.mT.split(sizes, dim=2)
        weight, bias = self.value_proj.weight, self.value_proj.bias
        if is_exported():  # runtimes compute a product with the weight as its first factor in float32 only
            maps = [level.unflatten(2, shape) for level, shape in zip(levels, shapes)]
            return [conv2d(features, weight[..., None, None], bias) for features in maps]
        return [(weight @ level + bias[:, None]).unflatten(2, shape) for level, shape in zip(levels, shapes)]

    def _sample(self, levels: list[Tensor], grid: Tensor, weights: Tensor) -> Tensor:
        """Weighted sum ``(B, Q, C)`` of values ``(B, C, H, W)`` at ``grid`` ``(B, Q, heads, L, P, 2)`` in [-1, 1]."""
        batch = grid.shape[0]
        grid, weights = [x.transpose(1, 2).flatten(0, 1) for x in (grid, weights)]  # (B * heads, Q, L, P, ...)
        # sampled in the precision of the boxes: half precision would shift the points by a fraction of a pixel
        maps = [level.reshape(grid.shape[0], -1, *level.shape[2:]).to(grid.dtype) for level in levels]
        sampled = [grid_sample(x, grid[:, :, i], align_corners=False) for i, x in enumerate(maps)]
        # (B * heads, C / heads, Q, L * P)
        total = (torch.cat(sampled, dim=3) * weights[:, None].flatten(3)).sum(3)
        return total.view(batch, -1, grid.shape[1]).mT
