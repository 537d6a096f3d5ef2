"""A layer of RT-DETR's decoder (arXiv 2304.08069): self-attention, deformable attention, feed-forward network."""

from mmcv.cnn import build_norm_layer
from mmcv.cnn.bricks.transformer import FFN, MultiheadAttention
from mmdet.models.layers.transformer.deformable_detr_layers import DeformableDetrTransformerDecoderLayer
from mmengine.model import ModuleList
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from mmspartan_cli.choices import METHODS

from ..checks import check_choices, check_integers, check_numbers, is_integer, refuse
from ..ops.tracing import is_traced
from .deformable_attention import DeformableAttention


class SelfAttention(MultiheadAttention):
    """mmcv's module by PyTorch's fused attention, without the mean of the attention weights, which nobody reads.

    Traced graphs have the plain products, which runtimes recognize.
    """

    def forward(self, query: Tensor, query_pos: Tensor, attn_mask: Tensor | None = None, **kwargs) -> Tensor:
        """Attend to all queries ``(B, Q, C)``; the mask ``(Q, Q)`` is added, ``-inf`` where a query must not attend."""
        positioned, attn = query + query_pos, self.attn
        if is_traced():
            sequences = [x.transpose(0, 1) for x in (positioned, positioned, query)]
            out = attn(*sequences, attn_mask=attn_mask)[0].transpose(0, 1)
        else:
            sizes = [2 * self.embed_dims, self.embed_dims]
            (weight_qk, weight_v), (bias_qk, bias_v) = attn.in_proj_weight.split(sizes), attn.in_proj_bias.split(sizes)
            projected = (linear(positioned, weight_qk, bias_qk), linear(query, weight_v, bias_v))
            heads = [x.unflatten(2, (-1, self.num_heads, attn.head_dim)).transpose(1, 3) for x in projected]
            (q, k), (v,) = (x.unbind(2) for x in heads)  # (B, heads, Q, C / heads)
            mask = None if attn_mask is None else attn_mask.to(q.dtype)  # autocast's, which changes with the operation
            out = scaled_dot_product_attention(q, k, v, mask, attn.dropout * attn.training)
            out = attn.out_proj(out.transpose(1, 2).flatten(2))
        return query + self.dropout_layer(self.proj_drop(out))


class RTDETRTransformerDecoderLayer(DeformableDetrTransformerDecoderLayer):
    """mmdet's layer with :class:`DeformableAttention`.

    Raises:
        ValueError: If a size or a dropout rate is out of its range, or the three ``embed_dims`` differ.
    """

    is_region = True  # of regional compilation
    attention_type: type[DeformableAttention] = DeformableAttention
    ffn_type: type[nn.Module] = FFN

    def _init_layers(self) -> None:
        for name in ('self_attn_cfg', 'cross_attn_cfg', 'ffn_cfg'):
            check_layer_cfg(name, getattr(self, name))
        self.self_attn = SelfAttention(**self.self_attn_cfg)
        self.cross_attn = self.attention_type(**self.cross_attn_cfg)
        self.embed_dims = self.self_attn.embed_dims
        self.ffn = self.ffn_type(**self.ffn_cfg)
        for name, module in (('cross_attn_cfg', self.cross_attn), ('ffn_cfg', self.ffn)):
            if module.embed_dims != self.embed_dims:
                allowed = f'{self.embed_dims}, as in self_attn_cfg'
                refuse('RTDETRTransformerDecoder', f'layer_cfg.{name}.embed_dims', allowed, module.embed_dims)
        self.norms = ModuleList(build_norm_layer(self.norm_cfg, self.embed_dims)[1] for _ in range(3))


def check_layer_cfg(name: str, cfg: dict) -> None:
    """Check one of the configs of a decoder layer, since mmcv's modules check only some of the values.

    Raises:
        ValueError: If a size is not a positive integer, a dropout rate is not in [0, 1], ``embed_dims`` is not a
            multiple of ``num_heads``, or the method of sampling is unknown.
    """
    owner = 'RTDETRTransformerDecoder'
    sizes = ['embed_dims', 'num_heads', 'num_levels', 'num_points', 'feedforward_channels']
    rates = ('dropout', 'attn_drop', 'proj_drop', 'ffn_drop')
    points, levels = cfg.get('num_points'), cfg.get('num_levels', 4)
    if isinstance(points, list | tuple):
        sizes.remove('num_points')
        if len(points) != levels or not all(is_integer(count) for count in points):
            allowed = f'a positive integer, or {levels} of them, one for each level'
            refuse(owner, f'layer_cfg.{name}.num_points', allowed, points)
    check_integers(owner, **{f'layer_cfg.{name}.{key}': cfg[key] for key in sizes if key in cfg})
    check_numbers(owner, '[0, 1]', **{f'layer_cfg.{name}.{key}': cfg[key] for key in rates if key in cfg})
    if 'method' in cfg:
        check_choices(owner, METHODS, **{f'layer_cfg.{name}.method': cfg['method']})
    embed_dims, num_heads = cfg.get('embed_dims', 256), cfg.get('num_heads', 1)
    if embed_dims % num_heads:
        refuse(owner, f'layer_cfg.{name}.embed_dims', f'a multiple of num_heads={num_heads}', embed_dims)
