"""Deformable attention of RT-DETR's decoder: mmcv's module without synchronization with the GPU in each layer.

mmcv's operator runs on GPUs, if mmcv was built with it. On CPUs, on GPUs without the operator, and in compiled or
exported graphs, which cannot have it, values are projected to the layout that ``grid_sample`` expects. mmcv's fallback
permutes the features of each level.

Two options are RT-DETRv2's (Lv et al., arXiv 2407.17140; authors' code: github.com/lyuwenyu/RT-DETR, rtdetrv2_pytorch,
Apache-2.0): a number of points for each level, and discrete sampling. One difference: the authors clamp both
coordinates by the height, which is right for square inputs. Here each is clamped by its own side.
"""

import logging
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from mmcv.ops import MultiScaleDeformableAttention, get_compiling_cuda_version
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.nn.functional import grid_sample

from ..ops.levels import projected_levels
from ..ops.tracing import is_traced

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

    Args:
        num_levels (int): Number of feature maps. Defaults to 4.
        num_points (int | Sequence[int]): Points of each head on each level; a sequence has a number for each level.
            Defaults to 4.
        method (str): ``'default'`` interpolates between positions. ``'discrete'`` reads the position at each point
            rounded to integers, without ``grid_sample``. No gradient passes the rounding, so the offsets are frozen:
            the training starts from weights that were trained with ``'default'``.
        **kwargs: Arguments of mmcv's module.
    """

    def __init__(
        self, num_levels: int = 4, num_points: int | Sequence[int] = 4, method: str = 'default', **kwargs
    ) -> None:
        points = [num_points] * num_levels if isinstance(num_points, int) else list(num_points)
        self.points = points
        self.is_even = len(set(points)) == 1  # the only case of mmcv's operator
        self.is_discrete = method == 'discrete'
        super().__init__(num_levels=num_levels, num_points=max(points), **kwargs)
        if not self.is_even:
            total = self.num_heads * sum(points)
            self.sampling_offsets = nn.Linear(self.embed_dims, 2 * total)
            self.attention_weights = nn.Linear(self.embed_dims, total)
            self.init_weights()
        self.sampling_offsets.requires_grad_(not self.is_discrete)

    def init_weights(self) -> None:
        """Initialize as mmcv, whose points of a head lie on a ray; a level with fewer points has the nearest ones."""
        super().init_weights()
        rays = self.sampling_offsets.bias.data.view(self.num_heads, self.num_levels, self.num_points, 2)
        kept = [rays[:, level, :count] for level, count in enumerate(self.points)]
        self.sampling_offsets.bias.data = torch.cat(kept, dim=1).flatten()

    def forward(
        self,
        query: Tensor,
        value: Tensor,
        query_pos: Tensor,
        reference_points: Tensor,
        spatial_shapes: Tensor,
        level_start_index: Tensor,
        shapes: list[tuple[int, int]],
        **kwargs: Any,
    ) -> Tensor:
        """Attend to the features around the reference boxes.

        Args:
            query, query_pos (Tensor): ``(B, Q, C)``.
            value (Tensor): Features of all levels, ``(B, N, C)``.
            reference_points (Tensor): Boxes (cx, cy, w, h) in [0, 1], ``(B, Q, L, 4)``, the same for each level.
            spatial_shapes, level_start_index (Tensor): ``(L, 2)`` and ``(L,)``, for the CUDA operator and for discrete
                sampling.
            shapes (list[tuple[int, int]]): Heights and widths of the levels as Python numbers.

        Returns:
            Tensor: ``(B, Q, C)``, including the residual connection from ``query``.
        """
        found = self.attend(query + query_pos, value, reference_points, spatial_shapes, level_start_index, shapes)
        return self.dropout(self.output_proj(found.to(query.dtype))) + query

    def attend(
        self,
        positioned: Tensor,
        value: Tensor,
        reference_points: Tensor,
        spatial_shapes: Tensor,
        level_start_index: Tensor,
        shapes: list[tuple[int, int]],
    ) -> Tensor:
        """Return the weighted sum of the values for queries with their positions, ``(B, Q, C)``."""
        offsets = self.sampling_offsets(positioned).unflatten(2, (self.num_heads, -1, 2))  # (B, Q, heads, P, 2)
        weights = self.attention_weights(positioned).unflatten(2, (self.num_heads, -1)).softmax(-1)
        centers, sizes = reference_points[:, :, None, :1].split(2, dim=-1)
        locations = centers + self._divide_by_points(offsets) * sizes * 0.5
        if self.is_discrete:
            return self._gather(self.value_proj(value), locations, weights, spatial_shapes, level_start_index)
        if self.is_even and has_operator(value):
            value = self.value_proj(value).unflatten(2, (self.num_heads, -1))
            # the operator rounds the points to the precision of the values, and does not support bfloat16
            value = value.to(locations.dtype)
            levels = (self.num_levels, self.num_points)
            locations, weights = locations.unflatten(3, levels), weights.unflatten(3, levels)
            return MultiScaleDeformableAttnFunction.apply(
                value, spatial_shapes, level_start_index, locations, weights, self.im2col_step
            )
        return self._sample(self._project(value, shapes), 2 * locations - 1, weights)

    def _divide_by_points(self, offsets: Tensor) -> Tensor:
        """Divide offsets ``(B, Q, heads, P, 2)`` by the number of points of their level."""
        if self.is_even:
            return offsets / self.num_points
        levels = offsets.split(self.points, dim=3)
        return torch.cat([level / count for level, count in zip(levels, self.points)], dim=3)

    def _project(self, value: Tensor, shapes: list[tuple[int, int]]) -> list[Tensor]:
        """Project features ``(B, N, C)`` to values ``(B, C, H, W)`` of each level."""
        return projected_levels(value, self.value_proj, shapes)

    def _sample(self, levels: list[Tensor], grid: Tensor, weights: Tensor) -> Tensor:
        """Weighted sum ``(B, Q, C)`` of values ``(B, C, H, W)`` at ``grid`` ``(B, Q, heads, P, 2)`` in [-1, 1]."""
        batch = grid.shape[0]
        grid, weights = [x.transpose(1, 2).flatten(0, 1) for x in (grid, weights)]  # (B * heads, Q, P, ...)
        # sampled in the precision of the boxes: half precision would shift the points by a fraction of a pixel
        maps = [level.reshape(grid.shape[0], -1, *level.shape[2:]).to(grid.dtype) for level in levels]
        grids = grid.split(self.points, dim=2)
        sampled = [grid_sample(x, points, align_corners=False) for x, points in zip(maps, grids)]
        # (B * heads, C / heads, Q, P)
        total = (torch.cat(sampled, dim=3) * weights[:, None]).sum(3)
        return total.view(batch, -1, grid.shape[1]).mT

    def _gather(self, value: Tensor, locations: Tensor, weights: Tensor, shapes: Tensor, starts: Tensor) -> Tensor:
        """Weighted sum ``(B, Q, C)`` of values ``(B, N, C)`` at rounded ``locations`` ``(B, Q, heads, P, 2)``."""
        batch, length, _ = value.shape
        # one row for each point: of its level the sides, width first, and the index of the first position
        sides, start = [
            torch.cat([row.expand(count, -1) for row, count in zip(table.split(1), self.points)])
            for table in (shapes.flip(1), starts[:, None])
        ]
        # integers are clamped, not floats: a NaN would become an index outside of the values
        x, y = (locations * sides + 0.5).floor().long().clamp(min=0).minimum(sides - 1).unbind(-1)
        image = torch.arange(batch, device=value.device)[:, None, None, None]
        head = torch.arange(self.num_heads, device=value.device)[:, None]
        row = ((image * length + start[:, 0] + y * sides[:, 0] + x) * self.num_heads) + head
        rows = value.reshape(batch * length * self.num_heads, -1).index_select(0, row.flatten())
        sampled = rows.view(*row.shape, -1).to(locations.dtype)  # (B, Q, heads, P, C / heads)
        return (sampled * weights[..., None]).sum(3).flatten(2)
