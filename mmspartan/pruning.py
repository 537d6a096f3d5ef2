"""Structured pruning of SpaRTAN (the paper's outlook, Sec. V) with Torch-Pruning (Fang et al., CVPR 2023).

Torch-Pruning finds the layers that one channel goes through, scores channels and removes them. What it cannot see is
described here:

* The channels within the mixers are pruned, each block to its own width. The features between blocks keep theirs, so
  that neck and head fit as before.
* CMixer: amplitude, phase, and the real and imaginary part of a wave stay or go together, with the other channels of
  their group. The first C waves stay, since the strongest *input* channel selects one of them at each position (Eq. 8).
* SMixer: a depthwise stage has one set of channels for both branches. With full convolutions, each convolution keeps
  channels of its own, as many as the others.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmengine.utils import track_iter_progress
from torch import Tensor, nn

from .checks import check_numbers
from .errors import InputError
from .ops.device import gpu_forms
from .spartan.backbone import ARCHS, SpaRTAN
from .spartan.channel_gate import ChannelGate
from .spartan.cmixer import CMixer
from .spartan.large_kernel import LargeKernelConv
from .spartan.modulated_conv import ModulatedConv2d
from .spartan.smixer import SMixer

try:
    import torch_pruning as tp
except ImportError as error:
    raise InputError('pruning needs Torch-Pruning: pip install torch-pruning==1.6.0') from error

IMPORTANCES = {
    'taylor': lambda: tp.importance.GroupTaylorImportance(),
    'magnitude': lambda: tp.importance.GroupMagnitudeImportance(),
    'random': lambda: tp.importance.RandomImportance(),
}
MULTIPLE = 4  # of which the widths that remain are, as CPUs and GPUs prefer


@dataclass
class Prunable:
    """A mixer, and the score of each of its units in each of the convolutions whose outputs are pruned."""

    mixer: Any  # SMixer or CMixer
    graph: Any
    roots: dict[nn.Conv2d, tuple[int, ...]]  # and where their outputs begin among the inputs of the SMixer's projection
    unit: int  # channels that stay together
    width: int
    least: int  # width that must remain
    scores: Tensor  # (roots, units)

    @cached_property
    def ranked(self) -> Tensor:
        """Scores of the units by their rank, means of all roots, of which each keeps units of its own."""
        return self.scores.sort(1).values.mean(0)

    def width_above(self, threshold: float) -> int:
        """The width that remains of units that score above the threshold, a multiple of :data:`MULTIPLE`."""
        width = self.unit * int((self.ranked > threshold).sum())
        return min(self.width, max(self.least, _rounded(width, math.lcm(MULTIPLE, self.unit))))

    def prune(self, width: int) -> None:
        columns: list[int] = []
        for (root, offsets), scores in zip(self.roots.items(), self.scores):
            weakest = scores.argsort()[: (self.width - width) // self.unit]
            channels = (weakest[:, None] * self.unit + torch.arange(self.unit)).flatten().tolist()
            if channels:
                self.graph.get_pruning_group(root, tp.prune_conv_out_channels, channels).prune()
                columns += [channel + offset for offset in offsets for channel in channels]
        if columns:
            tp.prune_conv_in_channels(self.mixer.proj_out, columns)
        if isinstance(self.mixer, CMixer):
            self.mixer.groups = self.mixer.conv.conv.groups


class PairPruner(tp.BasePruningFunc):
    """Removes waves, pairs of channels, of a :class:`~mmspartan.spartan.modulated_conv.ModulatedConv2d`."""

    def prune_out_channels(self, layer: ModulatedConv2d, idxs: list[int]) -> nn.Module:
        keep = sorted(set(range(layer.out_channels)) - set(idxs))
        layer.weight = self._prune_parameter_and_grad(layer.weight, keep, 0)
        layer.complex_weight = self._prune_parameter_and_grad(layer.complex_weight, [i // 2 for i in keep[::2]], 0)
        layer.groups = len(keep) * layer.groups // layer.out_channels
        layer.in_channels = layer.out_channels = len(keep)
        return layer

    prune_in_channels = prune_out_channels

    def get_out_channels(self, layer: ModulatedConv2d) -> int:
        return layer.out_channels

    get_in_channels = get_out_channels


def prune(backbone: SpaRTAN, settings: dict, ratio: float, importance: str = 'taylor') -> dict:
    """Remove the least important channels of all mixers, in place.

    Args:
        backbone (SpaRTAN): Not deployed; with gradients of a loss for ``'taylor'``.
        settings (dict): The config that it was built from.
        ratio (float): Share of the backbone's multiply-adds to remove, in (0, 1).
        importance (str): ``'taylor'`` (weight times gradient), ``'magnitude'`` (of weights) or ``'random'``.

    Returns:
        dict: ``arch`` of the pruned backbone, which its weights fit.

    Raises:
        InputError: If a mixer is another than ``SMixer`` and ``CMixer``, a gradient is missing, or so much cannot be
            removed.
    """
    check_prunable(backbone, ratio)
    arch = settings.get('arch', 't')
    arch = dict(ARCHS[arch] if isinstance(arch, str) else arch)
    mixers = [_prunable(mixer, importance) for mixer in _mixers(backbone)]
    shapes = zip(arch['channels'], arch['expand_ratios'], arch['depths'])
    blocks = [(channels, expand_ratio) for channels, expand_ratio, depth in shapes for _ in range(depth)]
    before = dict(smixer_widths=[c // 2 for c, _ in blocks], cmixer_widths=[c * n for c, n in blocks])
    before.update((key, arch[key]) for key in before.keys() & arch.keys())

    def pruned_arch(threshold: float) -> dict:
        left = [mixer.width_above(threshold) for mixer in mixers]
        built = len(left) // 2  # not blocks of later stages than those of out_indices
        return {
            **arch,
            'smixer_widths': [*left[::2], *before['smixer_widths'][built:]],
            'cmixer_widths': [*left[1::2], *before['cmixer_widths'][built:]],
        }

    limits = torch.cat([mixer.ranked for mixer in mixers]).sort().values.tolist()
    whole = multiply_adds(backbone)
    low, high = 0, len(limits) - 1  # number of units, in the order of their score, that are at or below the threshold
    while low < high:
        middle = (low + high) // 2
        if _cost(settings, pruned_arch(limits[middle])) > (1 - ratio) * whole:
            low = middle + 1
        else:
            high = middle
    arch = pruned_arch(limits[low])
    left = _cost(settings, arch) / whole
    if left > 1 - ratio:
        raise InputError(
            f'ratio={ratio}: at most {1 - left:.2f} of the multiply-adds of this backbone are within its mixers and '
            'can be removed'
        )
    for mixer in mixers:
        mixer.prune(mixer.width_above(limits[low]))
    backbone._freeze_stages()  # the parameters are new ones
    return arch


def check_prunable(backbone: SpaRTAN, ratio: float) -> None:
    """Check what needs no data.

    Raises:
        InputError: If the ratio is not in (0, 1), or a mixer cannot be pruned.
    """
    check_numbers('prune', '(0, 1)', ratio=ratio)
    if backbone.is_deployed:
        raise InputError('the backbone is folded for inference: prune the checkpoint that was trained')
    for mixer in _mixers(backbone):
        if type(mixer) not in (SMixer, CMixer) or any(isinstance(part, LargeKernelConv) for part in mixer.modules()):
            raise InputError(f'{type(mixer).__name__}: only CMixer, and SMixer without small_kernel, can be pruned')


def add_gradients(model: BaseModel, loader: Any, batches: int) -> None:
    """Add up the gradients of the loss over batches of the training set; statistics and mode stay as they were.

    Args:
        model (BaseModel): As it was loaded.
        loader (DataLoader): Of the training set.
        batches (int): How many; all if there are fewer.
    """
    was_training, buffers = model.training, {name: value.clone() for name, value in model.named_buffers()}
    model.train()
    count = min(batches, len(loader))
    for _, batch in zip(track_iter_progress(range(count)), loader):
        data = model.data_preprocessor(batch, training=True)
        model.parse_losses(model(**data, mode='loss'))[0].backward()
    model.train(was_training)
    for name, value in model.named_buffers():
        value.copy_(buffers[name])


def multiply_adds(backbone: SpaRTAN) -> float:
    """Multiply-adds of all convolutions but those of the gates, for one position of the first stage's features."""
    first = backbone.patch_embeds[0][0].conv  # at four times as many positions
    left_out = {part for gate in backbone.modules() if isinstance(gate, ChannelGate) for part in gate.modules()}
    total = 0.0
    for i, parts in enumerate(zip(backbone.patch_embeds, backbone.stages)):
        for module in (module for part in parts for module in part.modules()):
            if isinstance(module, nn.Conv2d) and module not in left_out:
                total += module.weight.numel() / 4**i * (4 if module is first else 1)
    return total


def _cost(settings: dict, arch: dict) -> float:
    with torch.device('meta'):
        return multiply_adds(MODELS.build({**settings, 'arch': arch, 'init_cfg': None}))


def _mixers(backbone: Any) -> Iterator[nn.Module]:
    for blocks in backbone.stages:
        for block in blocks:
            yield from (block.smixer, block.cmixer)


def _prunable(mixer: Any, importance: str) -> Prunable:
    is_cmixer = isinstance(mixer, CMixer)
    channels = mixer.proj_out.out_channels
    width = mixer.proj_out.in_channels if is_cmixer else mixer.proj_in.out_channels
    unit = math.lcm(2, width // mixer.groups) if is_cmixer else 1
    if importance == 'taylor' and any(parameter.grad is None for parameter in mixer.parameters()):
        raise InputError("importance 'taylor' needs gradients in all mixers: frozen stages have none, use 'magnitude'")
    graph = tp.DependencyGraph()
    with gpu_forms(), torch.enable_grad(), _unfrozen(mixer):  # the plain equations, whose layers Torch-Pruning sees
        graph.build_dependency(
            mixer,
            mixer.proj_out.weight.new_zeros(1, channels, 8, 8),
            forward_fn=None if is_cmixer else _branches,
            unwrapped_parameters=None if is_cmixer else [(mixer.gamma, 0)],
            customized_pruners={ModulatedConv2d: PairPruner()},
        )
    roots: dict = {mixer.wave: ()} if is_cmixer else _roots(mixer, width)
    scores = []
    for root in roots:
        group = graph.get_pruning_group(root, tp.prune_conv_out_channels, list(range(width)))
        of_channels = IMPORTANCES[importance]()(group).view(-1, width).sum(0)  # of amplitude and phase
        scores.append(of_channels.view(-1, unit).sum(1))
    stacked = torch.stack(scores)
    stacked /= stacked.mean()  # comparable between mixers
    if is_cmixer:
        stacked[:, : -(-channels // unit)] = torch.inf
    least = _rounded(channels, unit) if is_cmixer else min(width, 2 * MULTIPLE)
    return Prunable(mixer, graph, roots, unit, width, least, stacked)


@contextmanager
def _unfrozen(mixer: nn.Module) -> Iterator[None]:
    """Torch-Pruning follows gradients, which frozen parameters do not have."""
    frozen = [parameter for parameter in mixer.parameters() if not parameter.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)


def _rounded(number: int, multiple: int) -> int:
    """The next multiple."""
    return -(-number // multiple) * multiple


def _branches(mixer: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """What the SMixer concatenates. Torch-Pruning mistakes its channels, since features and gates are concatenated."""
    x = mixer.proj_in(x)
    x = x.addcmul(mixer.gamma, x - x.mean((2, 3), keepdim=True))
    high, low = mixer.high_conv(x), mixer.low_conv(x)
    return high * mixer.high_se(high), low * mixer.low_se(low)


def _roots(mixer: Any, width: int) -> dict[nn.Conv2d, tuple[int, ...]]:
    high = mixer.high_conv.conv
    if high.groups > 1:
        return {mixer.proj_in: (0, width)}
    *first, low = [module for module in mixer.low_conv.modules() if isinstance(module, nn.Conv2d)]
    return {**dict.fromkeys([mixer.proj_in, *first], ()), high: (0,), low: (width,)}
