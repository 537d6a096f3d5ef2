"""The SMixer (paper Sec. III-B) for inference, with folded decomposition and one gate for both branches."""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from ..nn.fold import changed_copy, conv_of
from ..spartan.channel_gate import ChannelGate
from ..spartan.smixer import SMixer


class DeployedSMixer(nn.Module):
    """Equivalent of an :class:`~mmspartan.spartan.smixer.SMixer` in evaluation mode.

    Args:
        mixer (SMixer): A mixer with folded normalization. No value of its ``gamma`` may be -1, by which a channel
            becomes its mean.

    Shape: ``(B, C, H, W)`` to the same.
    """

    mean_factor: Tensor

    def __init__(self, mixer: SMixer):
        super().__init__()
        factor = 1 + mixer.gamma
        self.proj_in = conv_of(mixer.proj_in.weight * factor[:, None], mixer.proj_in.bias * factor.flatten())
        self.register_buffer('mean_factor', mixer.gamma / factor)
        self.high_conv, self.low_conv = mixer.high_conv, mixer.low_conv
        self.se = joined_gate(mixer.high_se, mixer.low_se)
        self.proj_out = mixer.proj_out
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        x = self.proj_in(x)
        x = x.addcmul_(self.mean_factor, x.mean((2, 3), keepdim=True), value=-1)  # 1 + gamma is part of proj_in
        x = torch.cat([self.high_conv(x), self.low_conv(x)], dim=1)
        return self.proj_out(x.mul_(self.se(x)))


def joined_gate(high: ChannelGate, low: ChannelGate) -> ChannelGate:
    """Join the gates of two groups of channels into one gate with block-diagonal matrices."""
    gate = changed_copy(high)
    for name in ('fc1', 'fc2'):
        first, second = getattr(high, name), getattr(low, name)
        upper = pad(first.weight, (0, 0, 0, 0, 0, second.in_channels))
        lower = pad(second.weight, (0, 0, 0, 0, first.in_channels, 0))
        setattr(gate, name, conv_of(torch.cat([upper, lower]), torch.cat([first.bias, second.bias])))
    return gate
