"""Deformable attention of D-FINE's decoder (authors' code: github.com/Peterande/D-FINE, Apache-2.0).

Values are the features themselves: no projection before and none after, and the residual connection is a gate's.
"""

from typing import Any

from torch import Tensor, nn

from ..rtdetr.deformable_attention import DeformableAttention


class UnprojectedDeformableAttention(DeformableAttention):
    """:class:`~mmspartan.rtdetr.deformable_attention.DeformableAttention` without projections and residual connection.

    Shape: queries, positions and features as there, to ``(B, Q, C)``.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.value_proj = nn.Identity()
        self.output_proj = nn.Identity()

    def forward(self, query: Tensor, value: Tensor, query_pos: Tensor, **kwargs: Any) -> Tensor:  # type: ignore[override]
        return self.dropout(self.attend(query + query_pos, value, **kwargs).to(query.dtype))

    def _project(self, value: Tensor, shapes: list[tuple[int, int]]) -> list[Tensor]:
        levels = value.mT.split([height * width for height, width in shapes], dim=2)
        return [level.unflatten(2, shape) for level, shape in zip(levels, shapes)]
