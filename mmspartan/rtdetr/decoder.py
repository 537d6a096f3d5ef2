"""Decoder of RT-DETR (arXiv 2304.08069), with query positions from the boxes that each layer refines."""

import torch
from mmdet.models.layers import MLP, DeformableDetrTransformerDecoder, inverse_sigmoid
from mmengine.model import ModuleList
from torch import Tensor, nn

from ..checks import check_integers
from .decoder_layer import RTDETRTransformerDecoderLayer


class RTDETRTransformerDecoder(DeformableDetrTransformerDecoder):
    """Decoder layers of mmdet's Deformable DETR. Each refines the boxes, which are the query positions of the next.

    DINO's decoder differs in three points: it has sine-cosine positions, normalizes its output, and masks the padding
    of images.

    Args:
        num_layers (int): Number of layers, at least 1.
        layer_cfg (dict): ``self_attn_cfg``, ``cross_attn_cfg`` and ``ffn_cfg``, all with the same ``embed_dims``.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def _init_layers(self) -> None:
        check_integers('RTDETRTransformerDecoder', num_layers=self.num_layers)
        self.layers = ModuleList(RTDETRTransformerDecoderLayer(**self.layer_cfg) for _ in range(self.num_layers))
        self.embed_dims = self.layers[0].embed_dims
        self.query_pos_head = MLP(4, 2 * self.embed_dims, self.embed_dims, 2)

    def forward(
        self,
        query: Tensor,
        value: Tensor,
        reference_points: Tensor,
        spatial_shapes: Tensor,
        level_start_index: Tensor,
        shapes: list[tuple[int, int]],
        self_attn_mask: Tensor | None,
        reg_branches: nn.ModuleList,
        num_layers: int | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Apply all layers, or in evaluation mode the first ``num_layers``.

        Args:
            query (Tensor): ``(B, Q, C)``.
            value (Tensor): Features of all levels, ``(B, N, C)``.
            reference_points (Tensor): Boxes (cx, cy, w, h) in [0, 1], ``(B, Q, 4)``, without gradient. They keep their
                dtype, float32 or float64, if the network runs in half precision.
            spatial_shapes (Tensor): Height and width of the levels, ``(L, 2)``.
            level_start_index (Tensor): Index of the first feature of each level, ``(L,)``.
            shapes (list[tuple[int, int]]): ``spatial_shapes`` as Python numbers.
            self_attn_mask (Tensor, optional): ``(Q, Q)``, true where a query must not attend.
            reg_branches (nn.ModuleList): Box branch of each layer.
            num_layers (int, optional): Layers to apply in evaluation mode; all by default.

        Returns:
            tuple[Tensor, list[Tensor]]: Hidden states ``(layers, B, Q, C)``, and for each of them the boxes
            ``(B, Q, 4)`` that its box branch refines. In evaluation mode only those of the last layer.
        """
        if self_attn_mask is not None:  # once for all layers
            self_attn_mask = torch.zeros_like(self_attn_mask, dtype=query.dtype).masked_fill_(
                self_attn_mask, -torch.inf
            )
        # as query positions boxes are detached; as start of the next layer's box they carry its gradient
        hidden_states, references = [], []
        reference, detached = reference_points, reference_points
        count = num_layers if num_layers is not None and not self.training else len(self.layers)
        for layer, reg_branch in zip(self.layers[:count], reg_branches):
            query = layer(
                query,
                query_pos=self.query_pos_head(detached.to(query.dtype)),
                value=value,
                self_attn_mask=self_attn_mask,
                reference_points=detached[:, :, None].expand(-1, -1, len(spatial_shapes), -1),
                spatial_shapes=spatial_shapes,
                level_start_index=level_start_index,
                shapes=shapes,
            )
            hidden_states.append(query)
            references.append(reference)
            if len(hidden_states) < count:
                reference = (reg_branch(query) + inverse_sigmoid(detached)).sigmoid()
                detached = reference.detach()
        if not self.training:
            hidden_states, references = hidden_states[-1:], references[-1:]
        return torch.stack(hidden_states), references
