"""The CMixer (paper Sec. III-C) for inference: real channels first, imaginary ones after them.

A convolution of (real, imaginary) pairs is four depthwise ones, which runtimes compute several times faster than
groups of two channels; and with all real channels before all imaginary ones, nothing is interleaved.
"""

import torch
from torch import Tensor, nn

from .gated_projection import channel_means
from .inference_conv import as_conv
from .memory_format import strongest_channel


class DeployedCMixer(nn.Module):
    """What a :class:`CMixer` computes in evaluation, from its weights.

    Args:
        mixer (CMixer): With its normalization folded, and pairs of channels as the groups of its convolution.

    Shape: ``(B, C, H, W)`` to the same.
    """

    @torch.no_grad()
    def __init__(self, mixer: nn.Module):
        super().__init__()
        channels, hidden = mixer.proj_out.out_channels, mixer.proj_out.in_channels
        conv = mixer.conv.conv
        index = torch.arange(hidden, device=conv.weight.device)
        real, imag = index[0::2], index[1::2]
        # each convolution more has its price, which small maps do not pay back
        parts = [torch.cat([real, imag])] if mixer.depthwise else [real, imag]
        amplitude, phase = zip(mixer.wave.weight.chunk(2), mixer.wave.bias.chunk(2))
        self.amplitude = nn.ModuleList(as_conv(amplitude[0][part], amplitude[1][part]) for part in parts)
        self.phase = nn.ModuleList(as_conv(phase[0][part], phase[1][part], mixer.phase_act) for part in parts)
        # where the wave of an input channel stands
        index = index[:channels]
        self.register_buffer('place', index // 2 if len(parts) == 2 else index // 2 + index % 2 * (hidden // 2))
        self.register_buffer('is_imag', index % 2 == 1)
        self.own = nn.ModuleList(
            as_conv(conv.weight[part, part % 2, None], conv.bias[part], conv.act) for part in parts
        )
        self.other = nn.ModuleList(as_conv(conv.weight[part, 1 - part % 2, None]) for part in parts)
        order = torch.cat([real, imag])
        self.se = mixer.se
        self.se.fc1.weight.copy_(self.se.fc1.weight[:, order])
        for parameter in (self.se.fc2.weight, self.se.fc2.bias):
            parameter.copy_(parameter[order])
        weight, bias = mixer.proj_out.weight, mixer.proj_out.bias
        self.proj_out = nn.ModuleList(as_conv(weight[:, part], None if i else bias) for i, part in enumerate(parts))

    def forward(self, x: Tensor, scale: None = None) -> Tensor:
        waves = [amplitude(x, times=phase(x)) for amplitude, phase in zip(self.amplitude, self.phase)]
        apart = len(waves) == 2
        # channels last: in this order runtimes gather without turning the features around
        strongest = strongest_channel(x).permute(0, 2, 3, 1)
        place = self.place[strongest]
        gathered = [wave.permute(0, 2, 3, 1).gather(3, place) for wave in waves]
        if apart:
            gathered = [torch.where(self.is_imag[strongest], gathered[1], gathered[0])]
        strongest = gathered[0].permute(0, 3, 1, 2)
        # gather's backward pass needs what it gathered from
        waves = [wave + strongest if torch.is_grad_enabled() else wave.add_(strongest) for wave in waves]
        real, imag = waves if apart else waves[0].chunk(2, 1)
        swapped = (imag, real) if apart else (torch.cat([imag, real], 1),)
        waves = [
            own(wave, plus=other(partner)) for own, other, wave, partner in zip(self.own, self.other, waves, swapped)
        ]
        means = [channel_means(wave) for wave in waves]
        gates = self.se.of_means(torch.cat(means, 1) if apart else means[0]).chunk(len(waves), 1)
        outs = [proj_out(wave.mul_(gate)) for proj_out, wave, gate in zip(self.proj_out, waves, gates)]
        return outs[0].add_(outs[1]) if apart else outs[0]
