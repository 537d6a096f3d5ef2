"""The waves of a CMixer for one image, before and after superposition and modulation (Sec. III-C, Fig. 4).

A wave is a pair of channels, its real and its imaginary part. Superposition adds the channel that is strongest at a
position to both parts of all waves there, so that they move along the diagonal of the complex plane. Modulation
multiplies each wave by a complex weight of its own, which rotates and scales it.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..errors import InputError
from ..ops.halved_conv import halved_conv
from ..ops.modulated_conv import modulate
from ..ops.superposition import superpose
from ..spartan.cmixer import CMixer
from .blocks import mixer_of, run_until
from .subject import Example, Subject


@torch.no_grad()
def waves_of_mixer(mixer: CMixer, x: Tensor) -> dict[str, Tensor]:
    """Compute the waves of a CMixer.

    Args:
        mixer: With N hidden channels.
        x: Its input, ``(1, C, H, W)``.

    Returns:
        Complex ``(N / 2, H, W)`` after each step: ``wave`` (Eq. 7), ``superposed`` (Eq. 8) and ``modulated`` (Eq. 9).
    """
    amplitude, phase = halved_conv(x, mixer.wave)
    wave = amplitude * mixer.phase_act(phase)
    superposed = superpose(amplitude, phase, x.argmax(1, keepdim=True), mixer.phase_act)
    modulated = modulate(superposed, mixer.conv.conv.get_parameter('complex_weight'))
    return {
        'wave': as_complex(wave[0]),
        'superposed': as_complex(superposed[0]),
        'modulated': as_complex(modulated[0]),
    }


def as_complex(x: Tensor) -> Tensor:
    """Combine channels ``(2k, 2k + 1)``, ``(N, H, W)``, to complex ``(N / 2, H, W)``."""
    return torch.complex(x[0::2].contiguous(), x[1::2].contiguous())


@torch.no_grad()
def waves(subject: Subject, example: Example, stage: int, block: int) -> dict[str, Tensor]:
    """Compute the waves of the CMixer of a block, counted from 1, for an image; see :func:`waves_of_mixer`.

    Raises:
        InputError: If the model has no such block, or it has no CMixer.
    """
    mixer = mixer_of(subject, 'cmixer', stage, block)
    if not isinstance(mixer, CMixer):
        raise InputError(f'{subject.name}: its channel mixers are of type {type(mixer).__name__}, not CMixer')
    return waves_of_mixer(mixer, run_until(mixer, subject.model.backbone, example.inputs)[0])


def position_of(steps: dict[str, Tensor], example: Example, at: Sequence[int] | None) -> tuple[int, int]:
    """Return row and column in the feature map of pixel ``at`` (x, y) of the input; by default of the strongest waves.

    Raises:
        InputError: If the pixel is outside the input.
    """
    total = steps['wave'].abs().sum(0)
    rows, columns = total.shape
    if at is None:
        row, column = divmod(int(total.argmax()), columns)
        return row, column
    height, width = example.image.shape[:2]
    if not (0 <= at[0] < width and 0 <= at[1] < height):
        raise InputError(f'--at {at[0]} {at[1]}: the input has {width} x {height} pixels')
    padded_height, padded_width = example.inputs.shape[2:]
    return min(at[1] * rows // padded_height, rows - 1), min(at[0] * columns // padded_width, columns - 1)


def draw_waves(
    steps: dict[str, Tensor], position: tuple[int, int], example: Example, title: str, count: int, path: Path
) -> None:
    """Draw all waves of one position in the complex plane, and amplitude and phase of some waves at all positions.

    Args:
        steps: As :func:`waves` returns them.
        position: Row and column in the feature map.
        count: How many waves to draw at all positions; those of the largest mean amplitude.
    """
    from matplotlib.figure import Figure

    steps = {name: values.cpu() for name, values in steps.items()}
    shape = steps['wave'].shape[1:]
    row, column = position
    figure = Figure(figsize=(12, 3.4 + 1.9 * count), layout='constrained')
    figure.suptitle(title)
    top, bottom = figure.subfigures(2, 1, height_ratios=(3, 1.9 * count))

    shown, *planes = top.subplots(1, 4)
    height, width = example.image.shape[:2]
    shown.imshow(example.image)
    scale = example.inputs.shape[2] / shape[0], example.inputs.shape[3] / shape[1]
    shown.plot(min((column + 0.5) * scale[1], width) - 0.5, min((row + 0.5) * scale[0], height) - 0.5, 'r+', ms=14)
    shown.set_title('input', fontsize=9)
    shown.set_axis_off()
    limit = 1.1 * max(float(values[:, row, column].abs().max()) for values in steps.values())
    for plane, (name, values) in zip(planes, steps.items()):
        tips = values[:, row, column]
        plane.quiver(
            [0] * len(tips), [0] * len(tips), tips.real, tips.imag, range(len(tips)),
            cmap='turbo', angles='xy', scale_units='xy', scale=1, width=0.008,
        )  # fmt: skip
        plane.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect='equal')
        plane.set_title(f'{name}: all {len(tips)} at the cross', fontsize=9)
        plane.grid(alpha=0.3)

    panels = bottom.subplots(count, 6, squeeze=False)
    chosen = steps['wave'].abs().mean((1, 2)).topk(count).indices.tolist()
    for line, k in zip(panels, chosen):
        top_value = max(float(values[k].abs().max()) for values in steps.values())
        for i, (name, values) in enumerate(steps.items()):
            amplitude = line[2 * i].imshow(values[k].abs(), cmap='viridis', vmin=0, vmax=top_value)
            phase = line[2 * i + 1].imshow(values[k].angle(), cmap='twilight', vmin=-torch.pi, vmax=torch.pi)
            line[2 * i].set_title(f'{name} {k}: amplitude', fontsize=8)
            line[2 * i + 1].set_title('phase', fontsize=8)
        bottom.colorbar(amplitude, ax=line[4], shrink=0.8)
        bottom.colorbar(phase, ax=line[5], shrink=0.8)
    for panel in panels.flat:
        panel.set(xticks=[], yticks=[])
    figure.savefig(path, dpi=90)
