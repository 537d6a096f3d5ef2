"""The CMixer (paper Sec. III-C) for inference, with all real channels before all imaginary channels.

A convolution of (real, imaginary) pairs equals four depthwise convolutions, which runtimes compute several times faster
than groups of two channels. The order of the channels avoids strided access to every second channel.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from ..checkpoints.checkpoint import rename_former
from ..nn.fold import changed_copy, constant, conv_of
from ..spartan.channel_gate import ChannelGate
from ..spartan.cmixer import CMixer


class DeployedCMixer(nn.Module):
    """Equivalent of a :class:`~mmspartan.spartan.cmixer.CMixer` in evaluation mode.

    Args:
        mixer (CMixer): A mixer with folded normalization, whose convolution has groups of two channels.

    Shape: ``(B, C, H, W)`` to the same.
    """

    # names of parameters and buffers in checkpoints of earlier versions
    former_names: ClassVar[dict[str, str]] = {'place': 'channel_index', 'own.': 'to_same.', 'other.': 'to_partner.'}

    channel_index: Tensor
    is_imag: Tensor

    def __init__(self, mixer: CMixer):
        super().__init__()
        channels, hidden = mixer.proj_out.out_channels, mixer.proj_out.in_channels
        conv = mixer.conv.conv
        index = torch.arange(hidden, device=conv.weight.device)
        real, imag = index[0::2], index[1::2]
        # Real and imaginary channels in two tensors save copies. Stages of depthwise convolutions have small features,
        # for which the overhead of twice as many calls is larger than the cost of the copies.
        self.is_split = mixer.groups == hidden
        halves = [real, imag] if self.is_split else [torch.cat([real, imag])]
        amplitude, phase = zip(mixer.wave.weight.chunk(2), mixer.wave.bias.chunk(2))
        self.amplitude = nn.ModuleList(conv_of(amplitude[0][half], amplitude[1][half]) for half in halves)
        self.phase = nn.ModuleList(conv_of(phase[0][half], phase[1][half]) for half in halves)
        self.phase_act = mixer.phase_act
        # index of the wave of each input channel
        index = index[:channels]
        channel_index = index // 2 if self.is_split else index // 2 + index % 2 * (hidden // 2)
        self.register_buffer('channel_index', channel_index)
        self.register_buffer('is_imag', index % 2 == 1)
        self.to_same = nn.ModuleList(
            conv_of(conv.weight[half, half % 2, None], None if conv.bias is None else conv.bias[half])
            for half in halves
        )
        self.to_partner = nn.ModuleList(conv_of(conv.weight[half, 1 - half % 2, None]) for half in halves)
        self.act = getattr(mixer.conv, 'act', nn.Identity())
        self.se = reordered_gate(mixer.se, torch.cat([real, imag]))
        weight, bias = mixer.proj_out.weight, mixer.proj_out.bias
        self.proj_out = nn.ModuleList(conv_of(weight[:, half], None if i else bias) for i, half in enumerate(halves))
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        waves = [amplitude(x) * self.phase_act(phase(x)) for amplitude, phase in zip(self.amplitude, self.phase)]
        strongest = self._strongest_wave(x, waves)
        waves = [wave + strongest for wave in waves]
        if self.is_split:
            partners = waves[::-1]
        else:
            real, imag = waves[0].chunk(2, 1)
            partners = [torch.cat([imag, real], 1)]
        waves = [
            self.act(to_same(wave).add_(to_partner(partner)))
            for to_same, to_partner, wave, partner in zip(self.to_same, self.to_partner, waves, partners)
        ]
        means = [wave.mean((2, 3), keepdim=True) for wave in waves]
        gates = self.se.from_means(torch.cat(means, 1) if self.is_split else means[0]).chunk(len(waves), 1)
        outs = [proj_out(wave * gate) for proj_out, wave, gate in zip(self.proj_out, waves, gates)]
        return outs[0].add_(outs[1]) if self.is_split else outs[0]

    def _strongest_wave(self, x: Tensor, waves: list[Tensor]) -> Tensor:
        """Return the wave of the strongest input channel, ``(B, 1, H, W)``."""
        # runtimes gather along the last dimension without permuting the features
        strongest = x.argmax(1, keepdim=True).permute(0, 2, 3, 1)
        index = self.channel_index[strongest]
        found = [wave.permute(0, 2, 3, 1).gather(3, index) for wave in waves]
        wave = torch.where(self.is_imag[strongest], found[1], found[0]) if self.is_split else found[0]
        return wave.permute(0, 3, 1, 2)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        rename_former(state_dict, self.former_names, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)


def reordered_gate(gate: ChannelGate, order: Tensor) -> ChannelGate:
    """Return the gate for features whose channels are permuted by ``order`` ``(C,)``."""
    fc1 = changed_copy(gate.fc1, weight=constant(gate.fc1.weight[:, order]))
    fc2 = changed_copy(gate.fc2, weight=constant(gate.fc2.weight[order]), bias=constant(gate.fc2.bias[order]))
    return changed_copy(gate, fc1=fc1, fc2=fc2)
