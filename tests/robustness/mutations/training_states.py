"""What a checkpoint has beside the weights, for ``--resume``: optimizer, schedules, averaged weights and log."""

import random
from collections.abc import Callable
from typing import Any

import torch

from ..case import Bench, Case
from .checkpoints import NO_WEIGHTS, Checkpoint

NAN = float('nan')


def mutate(rng: random.Random, bench: Bench) -> Case:
    """A checkpoint that a training goes on from; a result that differs from that of the sound one is wrong."""
    checkpoint = Checkpoint(bench, 'resume')
    content = checkpoint.load()
    what, expected, entry = rng.choice(MUTATIONS)(rng, content)
    checkpoint.save(content)
    return checkpoint.case(what, expected, [entry])


Change = tuple[str, str, str]  # what was done, what is expected, the entry's name
GARBAGE = [None, 5, -1, 'text', [], {}, [1], {'a': 1}, NAN, True, 10**30]


def _garbage(rng: random.Random) -> Any:
    return rng.choice([*GARBAGE, torch.rand(3)])


def part_broken(rng: random.Random, content: dict) -> Change:
    key = rng.choice(['meta', 'optimizer', 'message_hub', 'param_schedulers', 'state_dict', 'ema_state_dict'])
    if rng.random() < 0.4:
        del content[key]
        return f'{key} missing', 'either' if key in ('param_schedulers', 'ema_state_dict') else 'refused', key
    content[key] = _garbage(rng)
    return f'{key} is {str(content[key])[:30]}', 'refused', key


def optimizer_state(rng: random.Random, content: dict) -> Change:
    """State of another shape makes a fused optimizer write where it should not."""
    states = content['optimizer']['state']
    number = rng.choice(list(states))
    name = rng.choice(list(states[number]))
    how = rng.choice([*NO_WEIGHTS, 'missing', 'of nobody', 'garbage', 'empty state', 'negative'])
    state = states[number]
    expected = 'refused'
    if how == 'missing':
        del state[name]
    elif how == 'empty state':
        states[number] = {}
    elif how == 'of nobody':
        states[10_000] = dict(state)
        expected = 'either'
    elif how == 'garbage':
        state[name] = _garbage(rng)
    elif how == 'negative':
        if name == 'exp_avg':
            name = 'exp_avg_sq'
        state[name] = -state[name] - 1
    elif state[name].ndim == 0:
        state[name] = NO_WEIGHTS[rng.choice(['NaN', 'infinite', 'None', 'a text', 'complex64', 'one dimension more'])](
            state[name].view(1)
        )
        how = 'of another kind'
    else:
        state[name] = NO_WEIGHTS[how](state[name])
    return f'optimizer.state[{number}].{name}: {how}', expected, name


def optimizer_groups(rng: random.Random, content: dict) -> Change:
    groups = content['optimizer']['param_groups']
    group = rng.choice(groups)
    how = rng.choice(['missing', 'twice', 'none', 'value', 'value', 'value', 'numbers', 'entry missing'])
    if how == 'missing':
        groups.remove(group)
    elif how == 'twice':
        groups.append(group)
    elif how == 'none':
        content['optimizer']['param_groups'] = _garbage(rng)
    elif how == 'numbers':
        group['params'] = rng.choice([[], [10_000], [-1], ['x'], None, 5, group['params'] * 2])
    else:
        name = rng.choice(['lr', 'betas', 'eps', 'weight_decay', 'initial_lr'])
        if how == 'entry missing':
            del group[name]
        else:
            wrong = [None, 'x', NAN, float('inf'), -1, [], {}]
            group[name] = rng.choice([value for value in wrong if value != -1 or name != 'initial_lr'])
        return f'param_groups.{name}: {group.get(name, "missing")}', 'either', name
    return f'param_groups: {how}', 'refused', 'param_groups'


def schedules(rng: random.Random, content: dict) -> Change:
    """The learning rate of the second epoch is another one than that of the first."""
    states = content['param_schedulers']
    how = rng.choice(['none', 'more', 'garbage', 'entry', 'entry', 'entry missing'])
    if how == 'none':
        states.clear()
    elif how == 'more':
        states.append(dict(states[0]))
    elif how == 'garbage':
        states[0] = _garbage(rng)
    else:
        name = rng.choice(list(states[0]))
        if how == 'entry':
            states[0][name] = _garbage(rng)
        else:
            del states[0][name]
        return f'param_schedulers[0].{name}: {str(states[0].get(name, "missing"))[:30]}', 'either', name
    return f'param_schedulers: {how}', 'refused', 'param_schedulers'


def progress(rng: random.Random, content: dict) -> Change:
    """How far the training is."""
    key = rng.choice(['epoch', 'iter'])
    content['meta'][key] = rng.choice([None, -1, 'x', 1.5, NAN, True, [], 10**30, 77, {}, '1'])
    if rng.random() < 0.2:
        del content['meta'][key]
    return f'meta.{key} = {content["meta"].get(key, "missing")!r}', 'refused', key


def message_hub(rng: random.Random, content: dict) -> Change:
    hub = content['message_hub']
    place = rng.choice(list(hub))
    how = rng.choice(['missing', 'garbage', 'inside', 'inside', 'inside'])
    if how == 'missing':
        del hub[place]
    elif how == 'garbage' or not isinstance(hub[place], dict) or not hub[place]:
        hub[place] = _garbage(rng)
    else:
        name = rng.choice(list(hub[place]))
        hub[place][name] = _garbage(rng)
        place = f'{place}[{name}]'
    return f'message_hub.{place}: {how}', 'either', place.split('[')[0]


def history(rng: random.Random, content: dict) -> Change:
    """The numbers of the log."""
    scalars = content['message_hub']['log_scalars']
    name = rng.choice(list(scalars))
    entry = scalars[name]
    key = rng.choice(list(entry)) if isinstance(entry, dict) and entry else 'values'
    change: dict[str, Callable] = {
        'longer': lambda value: torch.cat([value, value]),
        'two dimensions': lambda value: value[None],
        'NaN': lambda value: value * NAN,
        'garbage': lambda value: _garbage(rng),
        'meta': lambda value: value.to('meta'),
        'empty': lambda value: value[:0],
        'complex': lambda value: value.to(torch.complex64),
    }
    how = rng.choice(list(change))
    entry[key] = change[how](entry[key]) if isinstance(entry[key], torch.Tensor) else _garbage(rng)
    return f'log_scalars.{name}.{key}: {how}', 'either', name


def averaged_weights(rng: random.Random, content: dict) -> Change:
    return _broken_weight(rng, content, 'ema_state_dict')


def weight(rng: random.Random, content: dict) -> Change:
    return _broken_weight(rng, content, 'state_dict')


def _broken_weight(rng: random.Random, content: dict, entry: str) -> Change:
    weights = content[entry]
    usable = [key for key, value in weights.items() if value.is_floating_point() and value.ndim]
    key = rng.choice(usable)
    how = rng.choice([*NO_WEIGHTS, 'missing'])
    if how == 'missing':
        del weights[key]
    else:
        weights[key] = NO_WEIGHTS[how](weights[key])
    return f'{entry}.{key}: {how}', 'refused', key


MUTATIONS = [
    *(part_broken, optimizer_state, optimizer_state, optimizer_groups, schedules, progress, message_hub, history),
    *(averaged_weights, weight),
]
