"""Hybrid encoder of RT-DETR (Zhao et al., CVPR 2024, arXiv 2304.08069, Sec. 4.2).

Authors' code: github.com/lyuwenyu/RT-DETR (rtdetr_pytorch, Apache-2.0).

Departs from it in one point: the position encoding of an input that is not square follows its rows and columns, while
the authors' grid is transposed. For square inputs both are equal.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from mmdet.models.layers import DetrTransformerEncoder
from mmengine.model import BaseModule, ModuleList
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..checks import check_integers, check_levels, check_numbers, is_integer, refuse, refuse_training_of_deployed
from ..nn.conv_norm_act import ConvNormAct
from ..nn.fold import fold_in_place
from ..ops.made_once import made_once
from ..ops.tracing import is_traced
from .fusion import CSPRepLayer, TopDownFusion


@MODELS.register_module()
class HybridEncoder(BaseModule):
    """Attention within the coarsest scale (AIFI), then convolutional fusion across scales (CCFF).

    Args:
        in_channels (Sequence[int]): Channels of the inputs, finest scale first. Each input has half the size of the
            previous one.
        hidden_channels (int): Channels of all outputs; a multiple of 4 and of ``num_heads``. Defaults to 256.
        feedforward_channels (int): Hidden width of the attention layer's feed-forward network. Defaults to 1024.
        num_heads (int): Heads of the attention layer. Defaults to 8.
        expansion (float): Channels of the fusion blocks' branches, relative to ``hidden_channels``; at least one
            channel. Defaults to 1.0.
        num_blocks (int): Number of RepVGG blocks in a fusion block. Defaults to 3.
        temperature (float): Temperature of the sine-cosine position encoding. Defaults to 10000.
        norm_cfg, act_cfg (dict): Normalization and activation after convolutions. Default to BN and SiLU.
        init_cfg (dict, optional): Initialization.

    Shape: a tuple of ``(B, in_channels[i], H_i, W_i)`` to a tuple of ``(B, hidden_channels, H_i, W_i)``.

    Raises:
        ValueError: If an argument is out of its range, or the deployed form is trained.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        hidden_channels: int = 256,
        feedforward_channels: int = 1024,
        num_heads: int = 8,
        expansion: float = 1.0,
        num_blocks: int = 3,
        temperature: float = 10000.0,
        norm_cfg: dict = dict(type='BN'),
        act_cfg: dict = dict(type='SiLU'),
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        if not isinstance(in_channels, Sequence) or not in_channels or not all(map(is_integer, in_channels)):
            refuse('HybridEncoder', 'in_channels', 'a list of positive integers', in_channels)
        check_integers(
            'HybridEncoder', num_heads=num_heads, num_blocks=num_blocks, feedforward_channels=feedforward_channels
        )
        if not is_integer(hidden_channels) or hidden_channels % 4 or hidden_channels % num_heads:
            refuse(
                'HybridEncoder',
                'hidden_channels',
                f'a positive multiple of 4 and of num_heads={num_heads}',
                hidden_channels,
            )
        check_numbers('HybridEncoder', '(0, inf)', temperature=temperature)
        check_numbers('HybridEncoder', f'[{1 / hidden_channels}, inf)', expansion=expansion)
        self.in_channels = tuple(in_channels)
        self.hidden_channels = hidden_channels
        self.is_deployed = False
        self.temperature = temperature

        self.norm_cfg, self.act_cfg = norm_cfg, act_cfg
        self.block_options = (num_blocks, expansion, norm_cfg, act_cfg)
        self.input_convs = ModuleList(
            ConvNormAct(nn.Conv2d(channels, hidden_channels, 1, bias=False), norm_cfg, None) for channels in in_channels
        )
        self.aifi = DetrTransformerEncoder(
            num_layers=1,
            layer_cfg=dict(
                self_attn_cfg=dict(embed_dims=hidden_channels, num_heads=num_heads, dropout=0.0),
                ffn_cfg=dict(
                    embed_dims=hidden_channels,
                    feedforward_channels=feedforward_channels,
                    ffn_drop=0.0,
                    act_cfg=dict(type='GELU'),
                ),
            ),
        )
        steps = range(len(in_channels) - 1)
        self.lateral_convs = ModuleList(self.lateral_conv() for _ in steps)
        self.top_down_blocks = ModuleList(self.fusion(is_top_down=True) for _ in steps)
        self.downsample_convs = ModuleList(self.downsample_conv() for _ in steps)
        self.bottom_up_blocks = ModuleList(self.fusion(is_top_down=False) for _ in steps)

    def lateral_conv(self) -> nn.Module:
        """Return a convolution before upsampling."""
        return self.conv(1, act_cfg=self.act_cfg)

    def downsample_conv(self) -> nn.Module:
        """Return a convolution that halves height and width."""
        return self.conv(3, stride=2, act_cfg=self.act_cfg)

    def fusion(self, is_top_down: bool) -> nn.Module:
        """Return a block that fuses two maps: a coarse and a finer one, or the concatenation of both."""
        kind = TopDownFusion if is_top_down else CSPRepLayer
        return kind(2 * self.hidden_channels, self.hidden_channels, *self.block_options)

    def join(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Return what a bottom-up block reads of two maps of one size."""
        return torch.cat([coarse, fine], dim=1)

    def conv(self, kernel_size: int, stride: int = 1, groups: int = 1, act_cfg: dict | None = None) -> ConvNormAct:
        """Return a convolution from hidden to hidden channels."""
        channels = self.hidden_channels
        conv = nn.Conv2d(channels, channels, kernel_size, stride, kernel_size // 2, groups=groups, bias=False)
        return ConvNormAct(conv, self.norm_cfg, act_cfg)

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, ...]:
        refuse_training_of_deployed(self)
        check_levels('HybridEncoder', self.input_convs, feats)
        if not is_traced():
            check_halves(feats)
        feats = [conv(feat) for conv, feat in zip(self.input_convs, feats)]
        feats[-1] = self.attend(feats[-1])

        outs = [feats[-1]]  # coarsest first
        for lateral, block, feat in zip(self.lateral_convs, self.top_down_blocks, feats[-2::-1]):
            outs[-1] = lateral(outs[-1])
            outs.append(block(outs[-1], feat))
        fused = [outs.pop()]  # finest first
        for downsample, block in zip(self.downsample_convs, self.bottom_up_blocks):
            fused.append(block(self.join(downsample(fused[-1]), outs.pop())))
        return tuple(fused)

    def switch_to_deploy(self) -> None:
        """Fold normalization, RepVGG branches, and the input convolutions of the finer maps for inference.

        Raises:
            RuntimeError: If the module is in training mode.
        """
        fold_in_place(self)

    def attend(self, feat: Tensor) -> Tensor:
        """Apply self-attention over all positions of a feature map ``(B, C, H, W)``."""
        height, width = feat.shape[-2:]
        positions = sine_positions(height, width, feat.shape[1], self.temperature, feat.device).to(feat.dtype)
        tokens = self.aifi(feat.flatten(2).transpose(1, 2), query_pos=positions, key_padding_mask=None)
        return tokens.transpose(1, 2).unflatten(2, (height, width)).contiguous()


def check_halves(feats: Sequence[Tensor]) -> None:
    """Check that each feature map has half the sides of the one before, rounded up as the encoder halves them.

    Raises:
        ValueError: If not: backbones without padding, such as SpaRTAN, round down.
    """
    sides = [tuple(feat.shape[-2:]) for feat in feats]
    for (height, width), coarse in pairwise(sides):
        if coarse != (-(-height // 2), -(-width // 2)):
            allowed = 'halves of each other, rounded up (data_preprocessor.pad_size_divisor=32 pads for it)'
            refuse('HybridEncoder', 'the sides of the feature maps', allowed, sides)


@made_once
def sine_positions(height: int, width: int, channels: int, temperature: float, device: torch.device) -> Tensor:
    """Two-dimensional sine-cosine position encoding ``(1, height * width, channels)`` in float32.

    The quarters of the channels are sine of the row, cosine of the row, sine of the column and cosine of the column.
    mmdet's ``SinePositionalEncoding`` interleaves sine and cosine, which does not match the released weights.
    """
    dtype = torch.float32  # as in the authors' code, whatever the precision of the network
    quarter = channels // 4
    omega = 1 / temperature ** (torch.arange(quarter, device=device, dtype=dtype) / quarter)
    rows, columns = [torch.arange(n, device=device, dtype=dtype)[:, None] * omega for n in (height, width)]
    rows = torch.cat([rows.sin(), rows.cos()], 1)[:, None].expand(-1, width, -1)
    columns = torch.cat([columns.sin(), columns.cos()], 1)[None].expand(height, -1, -1)
    return torch.cat([rows, columns], 2).flatten(0, 1)[None]
