"""Checks of what a training resumes from: counters, optimizer and parameter schedulers of a checkpoint.

Each raises an ``InputError`` that names the entry; ``ResumableRunner.resume`` adds the name of the file.
"""

import logging
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop
from torch import Tensor

from ..errors import InputError
from .checkpoint import weight_problem


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise InputError(f'cannot be resumed from: {problem}')


def check_resumable(checkpoint: Mapping[str, Any]) -> None:
    """Check that a checkpoint has the entries that a Runner saves, and plain counters."""
    kinds: dict[str, Any] = dict.fromkeys(('meta', 'state_dict', 'message_hub', 'optimizer'), Mapping)
    for key, kind in {**kinds, 'param_schedulers': list | Mapping}.items():
        _require(
            isinstance(checkpoint.get(key, [] if key == 'param_schedulers' else None), kind),
            f'it has no {key}, as a published or a best checkpoint has none; to start from its weights use '
            '--cfg-options load_from=... instead of --resume',
        )
    meta, hub = checkpoint['meta'], checkpoint['message_hub']
    for key in ('epoch', 'iter'):
        is_count = type(meta.get(key)) is int and meta[key] >= 0
        _require(is_count, f'its meta.{key} is {meta.get(key)!r}, not a number')
    for key in ('log_scalars', 'runtime_info', 'resumed_keys'):
        _require(isinstance(hub.get(key), Mapping), f'its message_hub has no {key}')


def check_optimizer_fits(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Check that a saved optimizer state belongs to the optimizer; a fused optimizer does not check sizes itself."""
    groups, states = state.get('param_groups'), state.get('state')
    if not isinstance(groups, list) or not isinstance(states, Mapping):
        raise InputError('cannot be resumed from: its optimizer has no param_groups or no state')
    sizes = [len(group['params']) for group in optimizer.param_groups]
    found = [len(group['params']) for group in groups]
    _require(
        found == sizes,
        f'its optimizer has {len(found)} groups of {found[:4]} parameters, this training {len(sizes)} of {sizes[:4]}: '
        'another model, or other optimizer settings',
    )
    for group, saved in zip(optimizer.param_groups, groups):
        for parameter, number in zip(group['params'], saved['params']):
            for name, value in states.get(number, {}).items():
                if isinstance(value, Tensor):
                    _check_state(value, parameter, f'{name} of parameter {number}', bool(group.get('fused')))


def _check_state(value: Tensor, parameter: Tensor, name: str, fused: bool) -> None:
    # other optimizers check shapes themselves, and may keep row and column statistics or quantized values
    problem = weight_problem(value) if fused or value.is_floating_point() else None
    fits = value.shape == parameter.shape or value.dim() == 0 or (not fused and value.dim() > 1)
    if problem or not fits:
        problem = problem or f'is {tuple(value.shape)}, the parameter {tuple(parameter.shape)}'
        raise InputError(f"the optimizer's {name} {problem}")


def restored_schedulers(schedulers: Any, states: Any) -> Any:
    """Remove unknown entries from saved states of parameter schedulers, which mmengine would set as attributes.

    The states are checked if the schedulers are a list, as for a single optimizer.
    """
    if not isinstance(schedulers, list) or not isinstance(states, list):
        return states
    _require(
        len(states) == len(schedulers),
        f'it has {len(states)} param_schedulers, this training {len(schedulers)}; to take those of the config, add '
        '--update-optimizer to --resume',
    )
    return [
        {key: value for key, value in state.items() if key in scheduler.state_dict()}
        for scheduler, state in zip(schedulers, states)
    ]


def warn_of_other_length(runtime_info: Mapping[str, Any], loop: Any, source: str) -> None:
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
