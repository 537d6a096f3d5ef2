"""Checks of what a training resumes from: counters, optimizer and parameter schedulers of a checkpoint.

Each raises an ``InputError`` that names the entry; ``ResumableRunner.resume`` adds the name of the file.
"""

import logging
import math
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop
from torch import Tensor

from ..errors import InputError
from .checkpoint import weight_problem

# Entries whose square root an optimizer takes, and its count of steps.
NOT_NEGATIVE = ('step', 'exp_avg_sq', 'max_exp_avg_sq', 'square_avg')
ADVICE = 'to start from its weights use --cfg-options load_from=... instead of --resume'


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise InputError(f'cannot be resumed from: {problem}')


def check_resumable(checkpoint: Mapping[str, Any]) -> None:
    """Check that a checkpoint has all entries that a Runner saves, of the right types."""
    kinds: dict[str, Any] = dict.fromkeys(('meta', 'state_dict', 'message_hub', 'optimizer'), Mapping)
    for key, kind in {**kinds, 'param_schedulers': list | Mapping}.items():
        _require(
            isinstance(checkpoint.get(key, [] if key == 'param_schedulers' else None), kind),
            f'it has no {key}, as a published or a best checkpoint has none; {ADVICE}',
        )
    meta, hub = checkpoint['meta'], checkpoint['message_hub']
    for key in ('epoch', 'iter'):
        is_count = type(meta.get(key)) is int and meta[key] >= 0
        _require(is_count, f'its meta.{key} is {meta.get(key)!r}, not a number')
    _require(type(meta.get('seed')) in (int, type(None)), f'its meta.seed is a {type(meta.get("seed")).__name__}')
    for key in ('log_scalars', 'runtime_info', 'resumed_keys'):
        _require(isinstance(hub.get(key), Mapping), f'its message_hub has no {key}')
    known: dict[str, Any] = {'sampler_seed': int | None, 'last_ckpt': str | None}
    for key, value in hub['runtime_info'].items():
        kind = known.get(key, list if key.startswith('outdated_checkpoints/') else object)
        _require(isinstance(value, kind), f'message_hub.runtime_info[{key}] is a {type(value).__name__}')
    for key, value in hub['resumed_keys'].items():
        _require(type(value) is bool, f'message_hub.resumed_keys[{key}] is {value!r}')


def check_optimizer_fits(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Check that a saved optimizer state belongs to the optimizer; a fused optimizer does not check sizes itself."""
    groups, states = state.get('param_groups'), state.get('state')
    if not isinstance(groups, list) or not isinstance(states, Mapping):
        raise InputError('cannot be resumed from: its optimizer has no param_groups or no state')
    sizes = [len(group['params']) for group in optimizer.param_groups]
    numbers = [group.get('params') if isinstance(group, Mapping) else None for group in groups]
    found = [len(params) if isinstance(params, list | tuple) else 0 for params in numbers]
    _require(
        found == sizes,
        f'its optimizer has {len(found)} groups of {found[:4]} parameters, this training {len(sizes)} of {sizes[:4]}: '
        'another model, or other optimizer settings',
    )
    for i, (group, saved) in enumerate(zip(optimizer.param_groups, groups)):
        others = ', '.join(key for key in saved if key not in group)
        for name, value in group.items():
            problem = f'{name} of group {i} of its optimizer is {saved.get(name)!r}'
            if name not in saved and others:
                problem = f'its optimizer is no {type(optimizer).__name__}: it has {others}; {ADVICE}'
            _require(_is_setting_like(saved.get(name), value), problem)
        kinds: dict[int, dict] = {}  # types of a state's entries, by the parameter's number of dimensions
        for parameter, number in zip(group['params'], saved['params']):
            if number in states:
                _check_state(states[number], parameter, number, bool(group.get('fused')), kinds)


def _check_state(entries: Any, parameter: Tensor, number: Any, fused: bool, kinds: dict[int, dict]) -> None:
    _require(isinstance(entries, Mapping), f'parameter {number} of its optimizer has no state')
    types = {name: type(value) for name, value in entries.items()}
    expected = kinds.setdefault(parameter.ndim, types)
    for name in {**expected, **types}:
        differs = 'is missing or has another type than those of other parameters'
        fits = types.get(name) is expected.get(name)
        _require(fits, f"its optimizer's {name} of parameter {number} {differs}")
    for name, value in entries.items():
        if not isinstance(value, Tensor):
            continue
        # other optimizers check shapes themselves, and may keep row and column statistics or quantized values
        problem = weight_problem(value) if fused or value.is_floating_point() else None
        fits = value.shape == parameter.shape or value.dim() == 0 or (not fused and value.dim() > 1)
        if problem is None and not fits:
            problem = f'is {tuple(value.shape)}, the parameter {tuple(parameter.shape)}'
        if problem is None and name in NOT_NEGATIVE and bool((value < 0).any()):
            problem = 'is negative'
        if problem:
            raise InputError(f"the optimizer's {name} of parameter {number} {problem}")


def _is_setting_like(found: Any, expected: Any) -> bool:
    """Whether a saved optimizer setting consists of finite numbers, none negative where the current one is not."""
    if isinstance(expected, tuple):
        fits = isinstance(found, tuple | list) and len(found) == len(expected)
        return fits and all(map(_is_setting_like, found, expected))
    if type(expected) not in (int, float):
        return True
    return type(found) in (int, float) and math.isfinite(found) and (found >= 0 or expected < 0)


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
    restored = []
    for i, (scheduler, state) in enumerate(zip(schedulers, states)):
        current = scheduler.state_dict()
        has_step = isinstance(state, Mapping) and type(state.get('last_step')) is int
        _require(has_step, f'param_schedulers[{i}] has no last_step')
        for key in current.keys() & state.keys():
            kinds = {type(state[key]), type(current[key])}
            fits = len(kinds) == 1 or kinds <= {int, float} or current[key] is None
            _require(fits, f'param_schedulers[{i}].{key} is a {type(state[key]).__name__}')
        restored.append({key: value for key, value in state.items() if key in current})
    return restored


def warn_of_other_length(runtime_info: Mapping[str, Any], loop: Any, source: str) -> None:
    """Warn if a training of another length is resumed, whose schedule continues as it began."""
    key = 'max_epochs' if isinstance(loop, EpochBasedTrainLoop) else 'max_iters'
    before, now = runtime_info.get(key), getattr(loop, key, None)
    if isinstance(before, int) and before != now:
        print_log(
            f'{source}: was saved by a training of {key}={before}, this one has {now}. The learning rate continues by '
            'the schedule that it began with; for the schedule of the new length add --update-optimizer to --resume.',
            'current',
            logging.WARNING,
        )
