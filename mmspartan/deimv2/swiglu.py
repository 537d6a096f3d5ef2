"""SwiGLU (Shazeer, arXiv 2002.05202), the feed-forward network of DEIMv2's decoder (arXiv 2509.20787)."""

from torch import Tensor, nn
from torch.nn.functional import silu

from ..checks import check_multiples


class SwiGLU(nn.Module):
    """``x + W3 (SiLU(W1 x) * W2 x)``; W1 and W2 are one linear layer.

    mmpretrain's ``SwiGLUFFN`` computes the same, but a detection project may not have mmpretrain.

    Args:
        embed_dims (int): Input and output channels.
        feedforward_channels (int): Channels of W1 and W2 together, even.
        ffn_drop (float): Dropout rate of what is added to the input. Defaults to 0.

    Shape: ``(..., embed_dims)`` to the same.

    Raises:
        ValueError: If ``feedforward_channels`` is odd.
    """

    def __init__(self, embed_dims: int, feedforward_channels: int, ffn_drop: float = 0.0):
        super().__init__()
        check_multiples('SwiGLU', 2, feedforward_channels=feedforward_channels)
        self.embed_dims = embed_dims
        self.w12 = nn.Linear(embed_dims, feedforward_channels)
        self.w3 = nn.Linear(feedforward_channels // 2, embed_dims)
        self.dropout = nn.Dropout(ffn_drop)
        for layer in (self.w12, self.w3):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.w12(x).chunk(2, dim=-1)
        return x + self.dropout(self.w3(silu(gate) * value))
