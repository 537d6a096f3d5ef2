"""The SMixer (paper Sec. III-B) for inference: decomposition folded, both squeeze-and-excitations as one."""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from .gated_projection import channel_means
from .inference_conv import PackedConv2d, as_conv


class DeployedSMixer(nn.Module):
    """What an :class:`SMixer` computes in evaluation, from its weights.

    Args:
        mixer (SMixer): With its normalization folded. None of its ``gamma`` may be -1, which removes all of a channel
            but its mean.

    Shape: ``(B, C, H, W)`` to the same.
    """

    @torch.no_grad()
    def __init__(self, mixer: nn.Module):
        super().__init__()
        factor = 1 + mixer.gamma
        self.proj_in = as_conv(mixer.proj_in.weight * factor[:, None], mixer.proj_in.bias * factor.flatten())
        self.register_buffer('mean_factor', mixer.gamma / factor)
        self.high_conv, self.low_conv = mixer.high_conv, mixer.low_conv
        if type(self.low_conv[0]) is nn.Conv2d:  # the first of two, which no activation follows
            self.low_conv[0] = PackedConv2d(self.low_conv[0])
        high, low = mixer.high_se, mixer.low_se
        width, squeezed = high.fc1.in_channels, high.fc1.out_channels
        self.se = high
        for name, inputs in (('fc1', width), ('fc2', squeezed)):
            of_high, of_low = getattr(high, name), getattr(low, name)
            blocks = [pad(of_high.weight, (0, 0, 0, 0, 0, inputs)), pad(of_low.weight, (0, 0, 0, 0, inputs, 0))]
            setattr(self.se, name, as_conv(torch.cat(blocks), torch.cat([of_high.bias, of_low.bias])))
        self.proj_out = as_conv(mixer.proj_out.weight, mixer.proj_out.bias)

    def forward(self, x: Tensor, scale: None = None) -> Tensor:
        x = self.proj_in(x)
        x = x.addcmul_(self.mean_factor, channel_means(x), value=-1)  # 1 + gamma is part of proj_in
        x = torch.cat([self.high_conv(x), self.low_conv(x)], dim=1)
        return self.proj_out(x.mul_(self.se.of_means(channel_means(x))))
