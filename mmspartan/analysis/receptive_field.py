"""Effective receptive fields (Luo et al., arXiv 1701.04128) of the two branches of SMixers (Sec. III-B).

The field of a position is the root of the summed squares of the derivatives of its channels with respect to the input.
Over the input of the branches it is at most as large as their kernels: 3x3 for the high-frequency branch, and for the
low-frequency branch of the paper every second position of 9x9, whether that is two 3x3 convolutions or one of 5x5.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ..errors import InputError
from ..spartan.smixer import SMixer
from .blocks import mixer_of, run_until
from .subject import Example, Subject

BRANCHES = {'high_conv': 'high', 'low_conv': 'low'}


def field_energy(function: Callable[[Tensor], Tensor], x: Tensor, probes: int = 0, seed: int = 0) -> Tensor:
    """Sum the squared derivatives of the channels at the central position of a function's result.

    Args:
        function: Maps ``(1, C, H, W)`` to ``(1, D, h, w)``; the position is ``(h // 2, w // 2)``.
        x: ``(1, C, H, W)``.
        probes: Estimate the sum from this many random combinations of the channels; 0 for each channel by itself.
        seed: Of the combinations.

    Returns:
        Tensor: ``(H, W)``, summed over the channels of ``x``.
    """
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        y = function(x)
    center = y[0, :, y.shape[2] // 2, y.shape[3] // 2]
    count = len(center)
    if probes:  # of random signs the mixed products vanish in the mean
        signs = torch.randint(2, (probes, count), generator=torch.Generator().manual_seed(seed)) * 2 - 1
        combinations = signs.to(center) / probes**0.5
    else:
        combinations = torch.eye(count).to(center)
    energy = x.new_zeros(x.shape[2:])
    for combination in combinations:
        (grad,) = torch.autograd.grad(center, x, combination, retain_graph=True)
        energy += grad[0].square().sum(0)
    return energy


def side_of_share(energy: Tensor, center: tuple[float, float], share: float) -> int:
    """Return the side of the smallest square around ``center`` (row, column) that holds a share of the energy."""
    rows, columns = (torch.arange(size, dtype=torch.float64) - at for size, at in zip(energy.shape, center))
    distance = torch.maximum(rows.abs()[:, None], columns.abs()).flatten()
    order = distance.argsort()
    held = energy.flatten().double().cpu()[order].cumsum(0)
    nearest = int((held < share * held[-1] * (1 - 1e-9)).sum())
    return int(2 * distance[order[nearest]]) + 1


@dataclass
class Field:
    """The field of one branch.

    Attributes:
        energy: ``(H, W)`` over the input of the branch, or over the pixels.
        center: Row and column of what the position is in the middle of.
    """

    energy: Tensor
    center: tuple[float, float]


def center_in_pixels(position: int, stage: int) -> float:
    """Return the pixel in the middle of what the stem and the downsamplings before a stage give to a position."""
    factor = 2 ** (stage - 1)
    return 4 * (factor * position + (factor - 1) / 2)


def fields_of_stage(
    subject: Subject, example: Example, stage: int, probes: int, size: int | None = None
) -> dict[tuple[str, str], Field]:
    """Compute the fields of the two branches of the last SMixer of a stage, counted from 1.

    Args:
        subject: A model with the backbone SpaRTAN.
        example: The image at which the derivatives are taken.
        stage: Of the SMixer.
        probes: For the fields in pixels, see :func:`field_energy`.
        size: Side of the square to which the input is resized; as the model's pipeline resizes it by default.

    Returns:
        dict: By branch, ``high`` or ``low``, and unit, ``positions`` of the branch's input or ``pixels``.

    Raises:
        InputError: If the model has no such SMixer.
    """
    mixer = mixer_of(subject, 'smixer', stage)
    if not isinstance(mixer, SMixer):
        raise InputError(f'{subject.name}: its spatial mixers are of type {type(mixer).__name__}, not SMixer')
    if size is not None:
        example = replace(example, inputs=interpolate(example.inputs, (size, size), mode='bilinear'))
    fields = {}
    for attribute, branch in BRANCHES.items():
        conv = getattr(mixer, attribute)
        with torch.no_grad():
            features, _ = run_until(conv, subject.model.backbone, example.inputs)
        rows, columns = (side // 2 for side in features.shape[2:])
        fields[branch, 'positions'] = Field(field_energy(conv, features), (rows, columns))
        in_pixels = center_in_pixels(rows, stage), center_in_pixels(columns, stage)

        def to_branch(x: Tensor, conv: nn.Module = conv) -> Tensor:
            return run_until(conv, subject.model.backbone, x)[1]

        energy = field_energy(to_branch, example.inputs, probes)
        fields[branch, 'pixels'] = Field(energy, in_pixels)
    return fields


def draw_fields(rows: dict[str, dict[tuple[str, str], Field]], path: Path) -> None:
    """Draw fields on a logarithmic scale, with squares that hold 50 % and 95 % of the energy.

    Args:
        rows: Titles, and the fields of :func:`fields_of_stage`.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    figure = Figure(figsize=(9, 2.4 * len(rows)), layout='constrained')
    panels = figure.subplots(len(rows), 4, squeeze=False)
    for line, (title, fields) in zip(panels, rows.items()):
        order = sorted(fields, key=lambda key: key[1] == 'pixels')
        for panel, key in zip(line, order):
            field = fields[key]
            strength = (field.energy / field.energy.max()).clamp(min=1e-12).sqrt().log10().cpu()
            shown = panel.imshow(strength, cmap='viridis', vmin=-3, vmax=0)
            sides = [side_of_share(field.energy, field.center, share) for share in (0.5, 0.95)]
            for side, color in zip(sides, ('white', 'tab:red')):
                corner = field.center[1] - side / 2, field.center[0] - side / 2
                panel.add_patch(Rectangle(corner, side, side, fill=False, color=color))
            if key[1] == 'positions':  # a window around the kernel
                panel.set_xlim(field.center[1] - 6.5, field.center[1] + 6.5)
                panel.set_ylim(field.center[0] + 6.5, field.center[0] - 6.5)
                panel.set_facecolor(shown.cmap(0.0))  # beyond the border of a small map
            panel.set_title(f'{key[0]}, {key[1]}: {sides[0]}, {sides[1]}', fontsize=9)
            panel.set(xticks=[], yticks=[])
        line[0].set_ylabel(title, fontsize=8)
        figure.colorbar(shown, ax=line[-1], shrink=0.8)
    figure.savefig(path, dpi=90)
