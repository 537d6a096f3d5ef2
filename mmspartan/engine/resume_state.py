"""Checks of what a training resumes from: counters, optimizer and parameter schedulers of a checkpoint."""

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop
from torch import Tensor

from ..errors import InputError
from .checkpoint import weight_problem


def check_resumable(checkpoint: Mapping[str, Any], source: str | Path) -> None:
    """Check that a checkpoint holds the complete state of a training.

    Raises:
        InputError: If an entry that a Runner saves is missing or has a wrong type. The message names the source and the
            entry.
    """
    kinds: dict[str, Any] = {
        'meta': Mapping,
        'state_dict': Mapping,
        'message_hub': Mapping,
        'optimizer': Mapping,
        'param_schedulers': (list, Mapping),
    }
    for key, kind in kinds.items():
        if not isinstance(checkpoint.get(key), kind) and (key != 'param_schedulers' or key in checkpoint):
            raise InputError(
                f'{source}: cannot be resumed from: it has no {key}, as a published or a best checkpoint has '
                'none; to start from its weights use --cfg-options load_from=... instead of --resume'
            )
    meta, hub = checkpoint['meta'], checkpoint['message_hub']
    for key in ('epoch', 'iter'):
        if not _is_count(meta.get(key)):
            raise InputError(f'{source}: cannot be resumed from: its meta.{key} is {meta.get(key)!r}, not a number')
    for key in ('log_scalars', 'runtime_info', 'resumed_keys'):
        if not isinstance(hub.get(key), Mapping):
            raise InputError(f'{source}: cannot be resumed from: its message_hub has no {key}')
    for key, kind in (('sampler_seed', int), ('last_ckpt', str)):
        if not isinstance(hub['runtime_info'].get(key), kind | None):
            raise InputError(f'{source}: cannot be resumed from: message_hub.runtime_info[{key}] is no {kind.__name__}')
    for key, value in hub['runtime_info'].items():
        if key.startswith('outdated_checkpoints/') and not isinstance(value, list):
            raise InputError(f'{source}: cannot be resumed from: message_hub.runtime_info[{key}] is no list of paths')
    for key, value in hub['resumed_keys'].items():
        if type(value) is not bool:
            raise InputError(f'{source}: cannot be resumed from: message_hub.resumed_keys[{key}] is {value!r}')
    if not (meta.get('seed') is None or type(meta['seed']) is int):
        raise InputError(f'{source}: cannot be resumed from: its meta.seed is a {type(meta["seed"]).__name__}')


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def check_optimizer_fits(optimizer: torch.optim.Optimizer, state: Mapping[str, Any], source: str | Path) -> None:
    """Check that a saved optimizer state belongs to the optimizer; a fused optimizer does not check sizes itself.

    Args:
        optimizer: The optimizer to load into.
        state: A saved ``state_dict()``.
        source: Name of the checkpoint in the error message.

    Raises:
        InputError: If the number of groups or parameters differs, or an entry has another shape or kind of dtype or is
            not finite. The message names the source and the parameter's number.
    """
    groups = state.get('param_groups')
    if not isinstance(groups, list) or not isinstance(state.get('state'), Mapping):
        raise InputError(f'{source}: cannot be resumed from: its optimizer has no param_groups or no state')
    sizes = [len(group['params']) for group in optimizer.param_groups]
    numbers = [group.get('params') if isinstance(group, Mapping) else None for group in groups]
    found = [len(params) if isinstance(params, list | tuple) else 0 for params in numbers]
    if found != sizes:
        raise InputError(
            f'{source}: cannot be resumed from: its optimizer has {len(found)} groups of {found[:4]} parameters, this '
            f'training {len(sizes)} of {sizes[:4]}: another model, or other optimizer settings'
        )
    for i, (group, saved) in enumerate(zip(optimizer.param_groups, groups)):
        for name, value in group.items():
            if not _is_setting_like(saved.get(name), value):
                raise InputError(
                    f'{source}: cannot be resumed from: {name} of group {i} of its optimizer is {saved.get(name)!r}'
                )
        kinds: dict[int, dict] = {}  # types of a state's entries, by the parameter's number of dimensions
        for parameter, number in zip(group['params'], saved['params']):
            entries = state['state'].get(number, {})
            if not isinstance(entries, Mapping):
                raise InputError(f'{source}: cannot be resumed from: parameter {number} of its optimizer has no state')
            if number in state['state']:
                types = {name: type(value) for name, value in entries.items()}
                expected = kinds.setdefault(parameter.ndim, types)
                differing = [name for name in {**expected, **types} if types.get(name) is not expected.get(name)]
                if differing:
                    raise InputError(
                        f"{source}: cannot be resumed from: its optimizer's {differing[0]} of parameter {number} is "
                        'missing or has another type than those of other parameters'
                    )
            for name, value in entries.items():
                if not isinstance(value, Tensor):
                    continue
                # other optimizers check shapes themselves, and may keep row and column statistics or quantized values
                problem = weight_problem(value) if group.get('fused') or value.is_floating_point() else None
                fits = (
                    value.shape == parameter.shape or value.dim() == 0 or (not group.get('fused') and value.dim() > 1)
                )
                if problem is None and not fits:
                    problem = f'is {tuple(value.shape)}, the parameter {tuple(parameter.shape)}'
                if problem is None and name in NOT_NEGATIVE and bool((value < 0).any()):
                    problem = 'is negative'
                if problem:
                    raise InputError(f"{source}: the optimizer's {name} of parameter {number} {problem}")


def warn_of_other_length(runtime_info: Mapping[str, Any], loop: Any, source: str | Path) -> None:
    """Warn if a training of another length is resumed, whose schedule continues as it began.

    Args:
        runtime_info: Counters of the checkpoint.
        loop: The training loop of this run.
        source: Name of the checkpoint in the message.
    """
    key = 'max_epochs' if isinstance(loop, EpochBasedTrainLoop) else 'max_iters'
    before, now = runtime_info.get(key), getattr(loop, key, None)
    if isinstance(before, int) and before != now:
        print_log(
            f'{source}: was saved by a training of {key}={before}, this one has {now}. The learning rate continues by '
            'the schedule that it began with; for the schedule of the new length add --update-optimizer to --resume.',
            'current',
            logging.WARNING,
        )


# Entries whose square root an optimizer takes, and its count of steps.
NOT_NEGATIVE = ('step', 'exp_avg_sq', 'max_exp_avg_sq', 'square_avg')


def _is_setting_like(found: Any, expected: Any) -> bool:
    """Whether a saved optimizer setting consists of finite numbers, none negative where the current one is not."""
    if isinstance(expected, tuple):
        fits = isinstance(found, tuple | list) and len(found) == len(expected)
        return fits and all(map(_is_setting_like, found, expected))
    if type(expected) not in (int, float):
        return True
    return type(found) in (int, float) and math.isfinite(found) and (found >= 0 or expected < 0)


def restored_schedulers(schedulers: Any, states: Any, source: str | Path) -> Any:
    """Remove unknown entries from saved states of parameter schedulers, which mmengine would set as attributes.

    Args:
        schedulers: Schedulers of this training. They are checked if they are a list, as for a single optimizer.
        states: Their saved states.
        source: Name of the checkpoint in the error message.

    Raises:
        InputError: If the number of schedulers differs or an entry has another type. The message names the source and
            the entry.
    """
    if not isinstance(schedulers, list) or not isinstance(states, list):
        return states
    if len(states) != len(schedulers):
        raise InputError(
            f'{source}: cannot be resumed from: it has {len(states)} param_schedulers, this training {len(schedulers)};'
            ' to take those of the config, add --update-optimizer to --resume'
        )
    restored = []
    for i, (scheduler, state) in enumerate(zip(schedulers, states)):
        current = scheduler.state_dict()
        if not isinstance(state, Mapping) or type(state.get('last_step')) is not int:
            raise InputError(f'{source}: cannot be resumed from: param_schedulers[{i}] has no last_step')
        for key in current.keys() & state.keys():
            kinds = {type(state[key]), type(current[key])}
            if len(kinds) > 1 and not kinds <= {int, float} and current[key] is not None:
                raise InputError(
                    f'{source}: cannot be resumed from: param_schedulers[{i}].{key} is a {type(state[key]).__name__}'
                )
        restored.append({key: value for key, value in state.items() if key in current})
    return restored
