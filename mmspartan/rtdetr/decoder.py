"""Decoder of RT-DETR (arXiv 2304.08069), with query positions from the boxes that each layer refines."""

from typing import Any

import torch
from mmdet.models.layers import DeformableDetrTransformerDecoder, inverse_sigmoid
from mmengine.model import ModuleList
from torch import Tensor

from ..checks import check_choices, check_integers
from ..nn.mlp import MLP
from .decoder_layer import RTDETRTransformerDecoderLayer


class RTDETRTransformerDecoder(DeformableDetrTransformerDecoder):
    """Decoder layers of mmdet's Deformable DETR. Each refines the boxes, which are the query positions of the next.

    DINO's decoder differs in three points: it has sine-cosine positions, normalizes its output, and masks the padding
    of images.

    Args:
        num_layers (int): Number of layers, at least 1.
        layer_cfg (dict): ``self_attn_cfg``, ``cross_attn_cfg`` and ``ffn_cfg``, all with the same ``embed_dims``.
        num_query_pos_layers (int): Linear layers from a box to the position of its query. Two have a hidden width of
            ``2 * embed_dims``, as in RT-DETR; three have ``embed_dims``, as in DEIM. Defaults to 2.
        act_cfg (dict): Activation between them. Defaults to ReLU.

    Raises:
        ValueError: If an argument is out of its range.
    """

    layer_type = RTDETRTransformerDecoderLayer

    def __init__(
        self, *args: Any, num_query_pos_layers: int = 2, act_cfg: dict = dict(type='ReLU'), **kwargs: Any
    ) -> None:
        check_choices(type(self).__name__, (2, 3), num_query_pos_layers=num_query_pos_layers)
        self.num_query_pos_layers = num_query_pos_layers
        self.act_cfg = act_cfg
        super().__init__(*args, **kwargs)

    def _init_layers(self) -> None:
        check_integers(type(self).__name__, num_layers=self.num_layers)
        self.layers = ModuleList(self.layer_type(**self.layer_cfg) for _ in range(self.num_layers))
        self.embed_dims = self.layers[0].embed_dims
        hidden = (4 - self.num_query_pos_layers) * self.embed_dims
        self.query_pos_head = MLP(4, hidden, self.embed_dims, self.num_query_pos_layers, self.act_cfg)

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
            query (Tensor): ``(B, Q, C)``.
            value (Tensor): Features of all levels, ``(B, N, C)``.
            reference_points (Tensor): Boxes (cx, cy, w, h) in [0, 1], ``(B, Q, 4)``, without gradient. They keep their
                dtype, float32 or float64, if the network runs in half precision.
            self_attn_mask (Tensor, optional): ``(Q, Q)``, true where a query must not attend.
            head (RTDETRHead): The head, whose ``reg_branches`` are the box branches of the layers.
            num_layers (int, optional): Layers to apply in evaluation mode; all by default.
            **levels: ``spatial_shapes``, ``level_start_index`` and ``shapes`` of
                :class:`~mmspartan.rtdetr.deformable_attention.DeformableAttention`.

        Returns:
            dict: ``hidden_states`` ``(layers, B, Q, C)``, and as ``references`` for each of them the boxes
            ``(B, Q, 4)`` that its box branch refines. In evaluation mode only those of the last layer.
        """
        self_attn_mask = additive_mask(self_attn_mask, query.dtype)
        # as query positions boxes are detached; as start of the next layer's box they carry its gradient
        hidden_states, references = [], []
        reference, detached = reference_points, reference_points
        count = num_layers if num_layers is not None and not self.training else len(self.layers)
        for layer, reg_branch in zip(self.layers[:count], head.reg_branches):
            query = layer(
                query,
                query_pos=self.query_pos_head(detached.to(query.dtype)),
                value=value,
                self_attn_mask=self_attn_mask,
                reference_points=detached[:, :, None].expand(-1, -1, len(levels['shapes']), -1),
                **levels,
            )
            hidden_states.append(query)
            references.append(reference)
            if len(hidden_states) < count:
                reference = (reg_branch(query) + inverse_sigmoid(detached)).sigmoid()
                detached = reference.detach()
        if not self.training:
            hidden_states, references = hidden_states[-1:], references[-1:]
        return dict(hidden_states=torch.stack(hidden_states), references=references)


def additive_mask(mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """Return the mask that is added to the attention, once for all layers: ``-inf`` where it is true."""
    return None if mask is None else torch.zeros_like(mask, dtype=dtype).masked_fill_(mask, -torch.inf)
