"""Settings of the optimizer and its schedule in a resumed training: those of the checkpoint, or those of the config.

mmengine restores learning rates, weight decay and schedule from the checkpoint, whatever the config says.
"""

import warnings
from collections.abc import Mapping
from typing import Any

import torch

from ..errors import InputError

OPTION = '--update-optimizer'
# Entries of a parameter group that say how a step is computed, and not what it does.
EXECUTION = ('params', 'foreach', 'fused', 'capturable', 'differentiable')
# Entries of a scheduler that change in each step, or follow from the optimizer.
PROGRESS = ('last_step', '_global_step', '_last_value', 'base_values', 'verbose')


def changed_settings(optimizer: torch.optim.Optimizer, schedulers: Any, checkpoint: Mapping[str, Any]) -> list[str]:
    """Return what differs between a checkpoint and the config, as ``name: saved value -> value of the config``.

    Optimizer and schedulers are those that the config builds.
    """
    found: dict[str, int] = {}
    for group, saved in zip(optimizer.param_groups, checkpoint['optimizer']['param_groups']):
        for key in group.keys() & saved.keys() - set(EXECUTION):
            if f'initial_{key}' not in group and saved[key] != group[key]:  # else a schedule changes it
                line = f'{key.removeprefix("initial_")}: {shown(saved[key])} -> {shown(group[key])}'
                found[line] = found.get(line, 0) + 1
    lines = [line if count == 1 else f'{line} ({count} groups)' for line, count in sorted(found.items())]
    states = checkpoint.get('param_schedulers')
    if not isinstance(schedulers, list) or not isinstance(states, list):
        return lines
    if len(states) != len(schedulers):
        return [*lines, f'param_scheduler: {len(states)} -> {len(schedulers)} schedulers']
    for i, (scheduler, state) in enumerate(zip(schedulers, states)):
        current = scheduler.state_dict()
        for key in sorted(current.keys() & state.keys() - set(PROGRESS)):
            if state[key] != current[key]:
                lines.append(f'param_scheduler[{i}].{key}: {shown(state[key])} -> {shown(current[key])}')
    return lines


def shown(value: Any) -> str:
    return f'{value:g}' if isinstance(value, float) else repr(value)


def take_settings(optimizer: torch.optim.Optimizer, checkpoint: dict[str, Any]) -> None:
    """Replace the settings in a checkpoint by those of ``optimizer``; its momenta and counts of steps stay."""
    for group, saved in zip(optimizer.param_groups, checkpoint['optimizer']['param_groups']):
        saved.update({key: value for key, value in group.items() if key != 'params'})
    checkpoint.pop('param_schedulers', None)


def advance(schedulers: Any, iterations: int, epoch_length: int) -> None:
    """Bring new schedulers to where they would be after a number of iterations.

    Raises InputError if they are not a list, or one of them follows a metric.
    """
    schedulers = schedulers or []
    if not isinstance(schedulers, list) or any(hasattr(scheduler, 'monitor') for scheduler in schedulers):
        raise InputError(f'{OPTION}: is for one optimizer whose schedule depends on the iteration alone')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # no step of the optimizer was made in between
        for done in range(1, iterations + 1):
            for scheduler in schedulers:
                if not scheduler.by_epoch or done % epoch_length == 0:
                    scheduler.step()
