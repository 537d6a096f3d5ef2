"""Decoder of D-FINE (arXiv 2410.13842, Sec. 4.1): each layer refines the distributions of the boxes' edges (FDR).

Authors' code: github.com/Peterande/D-FINE, Apache-2.0. Not supported: decoder layers that are wider than the others and
only train the network (``layer_scale``), which no released model has.
"""

from typing import Any

import torch
from mmdet.models.layers import inverse_sigmoid
from torch import Tensor, nn

from ..rtdetr.decoder import RTDETRTransformerDecoder, additive_mask
from ..rtdetr.decoder_layer import RTDETRTransformerDecoderLayer
from .attention import UnprojectedDeformableAttention

LARGEST = 65504  # of float16


class Gate(nn.Module):
    """``g1 * x1 + g2 * x2``, where the gates of each channel are computed from both inputs.

    Shape: two times ``(..., C)`` to ``(..., C)``.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.proj = nn.Linear(2 * channels, 2 * channels)
        nn.init.zeros_(self.proj.weight)
        nn.init.zeros_(self.proj.bias)

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        joined = torch.cat([x1, x2], dim=-1)
        first, second = (self.proj(joined).sigmoid() * joined).chunk(2, dim=-1)
        return first + second


class DFINETransformerDecoderLayer(RTDETRTransformerDecoderLayer):
    """RT-DETR's layer, with a gate in place of the residual connection of the deformable attention."""

    attention_type = UnprojectedDeformableAttention
    gate: nn.Module

    def _init_layers(self) -> None:
        super()._init_layers()
        self.gate = Gate(self.embed_dims)

    def forward(
        self, query: Tensor, query_pos: Tensor, value: Tensor, self_attn_mask: Tensor | None, **kwargs: Any
    ) -> Tensor:
        query = self.norms[0](self.self_attn(query, query_pos, self_attn_mask))
        query = self.norms[1](self.gate(query, self.cross_attn(query, value, query_pos, **kwargs)))
        return self.norms[2](self.ffn(query).clamp(-LARGEST, LARGEST))


class DFINETransformerDecoder(RTDETRTransformerDecoder):
    """Decoder layers that refine distributions of the distances from the boxes of the first layer.

    Takes the arguments of :class:`~mmspartan.rtdetr.decoder.RTDETRTransformerDecoder`.
    """

    layer_type = DFINETransformerDecoderLayer

    def forward(
        self,
        query: Tensor,
        value: Tensor,
        reference_points: Tensor,
        self_attn_mask: Tensor | None,
        head: Any,
        num_layers: int | None = None,
        **levels: Any,
    ) -> dict[str, Any]:
        """Apply all layers, or in evaluation mode the first ``num_layers``.

        Args:
            query, value, reference_points, self_attn_mask, num_layers, **levels: As in
                :meth:`RTDETRTransformerDecoder.forward`.
            head (DFINEHead): The head, whose ``initial_reg_branch`` predicts boxes of the first layer, and whose
                ``reg_branches`` change the distributions ``head.distribution`` of their edges.

        Returns:
            dict: ``hidden_states`` ``(layers, B, Q, C)``, ``boxes`` ``(layers, B, Q, 4)`` and the logits of the
            distributions, ``edges`` ``(layers, B, Q, 4 * (num_bins + 1))``; in evaluation mode those of the last layer;
            ``initial_boxes`` ``(B, Q, 4)``.
        """
        mask = additive_mask(self_attn_mask, query.dtype)
        count = num_layers if num_layers is not None and not self.training else len(self.layers)
        hidden_states, boxes, edges = [], [], []
        # of the layer before: hidden states and boxes without gradient, logits with theirs
        previous: Any = 0.0
        logits: Any = 0.0
        detached = reference_points
        initial_boxes = reference_points  # of the first layer
        query_pos = None
        for i, (layer, reg_branch) in enumerate(zip(self.layers[:count], head.reg_branches)):
            query_pos = self.positions(detached.to(query.dtype), query_pos)
            query = layer(
                query,
                query_pos=query_pos,
                value=value,
                self_attn_mask=mask,
                reference_points=detached[:, :, None].expand(-1, -1, len(levels['shapes']), -1),
                **levels,
            )
            if i == 0:
                initial_boxes = (head.initial_reg_branch(query) + inverse_sigmoid(detached)).sigmoid()
            logits = reg_branch(query + previous) + logits
            box = head.distribution.boxes(initial_boxes.detach(), logits)
            hidden_states.append(query)
            boxes.append(box)
            edges.append(logits)
            previous, detached = query.detach(), box.detach()
        if not self.training:
            hidden_states, boxes, edges = hidden_states[-1:], boxes[-1:], edges[-1:]
        return dict(
            hidden_states=torch.stack(hidden_states),
            boxes=torch.stack(boxes),
            edges=torch.stack(edges),
            initial_boxes=initial_boxes,
        )

    def positions(self, boxes: Tensor, before: Tensor | None) -> Tensor:
        """Return the positions of a layer's queries ``(B, Q, C)``.

        Args:
            boxes (Tensor): Boxes (cx, cy, w, h) that the layer refines, ``(B, Q, 4)``.
            before (Tensor, optional): Positions in the layer before; None in the first one.
        """
        return self.query_pos_head(boxes).clamp(-10, 10)
