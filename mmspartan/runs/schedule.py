"""Another length of a training: what a config schedules by epochs or iterations, moved with it."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config

# Entries that are a number of epochs or iterations, of a parameter scheduler and of a hook.
SCHEDULER = ('begin', 'end', 'T_max', 'milestones', 'step_size', 'total_steps')
HOOK = ('switch_epoch', 'switch_epochs', 'num_last_epochs', 'final_epochs', 'begin_epoch', 'begin_iter', 'save_begin')
LENGTHS = ('max_epochs', 'max_iters')


def stretch_schedule(cfg: Config, options: Mapping[str, Any] | None) -> list[str]:
    """Merge options into a config; if they change the length of the training, move its schedule with it.

    Warm-up, decay and the stages of augmentation keep their shares of the training. Options that set a part of the
    schedule themselves are taken as they are.

    Args:
        cfg: The config, changed in place.
        options: Names and values as of ``--cfg-options``. ``max_epochs`` and ``max_iters`` stand for those of
            ``train_cfg``.

    Returns:
        list[str]: A line for each entry that was moved.
    """
    options = dict(options or {})
    before = _length(cfg)
    for key in LENGTHS:
        if key in options:
            options[f'train_cfg.{key}'] = options.pop(key)
    cfg.merge_from_dict(options)
    after = _length(cfg)
    if before is None or after is None or before[0] != after[0] or before[1] == after[1]:
        return []
    key, old, new = before[0], before[1], after[1]
    lines: list[str] = []
    if not any(name.split('.')[0] == 'param_scheduler' for name in options):
        lines += _stretch_schedulers(cfg, new / old)
    if not any(name.split('.')[0] == 'custom_hooks' for name in options):
        for i, hook in enumerate(cfg.get('custom_hooks') or []):
            lines += _stretch(hook, HOOK, new / old, f'custom_hooks.{i}', whole=True)
            for j, stage in enumerate(hook.get('schedule') or []):  # of mmpretrain's SwitchRecipeHook
                lines += _stretch_from_one(stage, 'action_epoch', new / old, f'custom_hooks.{i}.schedule.{j}')
    if not any(name.startswith('default_hooks.checkpoint') for name in options):
        hook = (cfg.get('default_hooks') or {}).get('checkpoint')
        lines += _stretch(hook, HOOK, new / old, 'default_hooks.checkpoint', whole=True)
    intervals = cfg.train_cfg.get('dynamic_intervals')
    if 'train_cfg.dynamic_intervals' not in options and intervals:
        cfg.train_cfg.dynamic_intervals = [(round(begin * new / old), every) for begin, every in intervals]
        lines.append(f'  train_cfg.dynamic_intervals: {intervals} -> {cfg.train_cfg.dynamic_intervals}')
    if 'train_cfg.val_begin' not in options:
        lines += _stretch_from_one(cfg.train_cfg, 'val_begin', new / old, 'train_cfg')
    interval = cfg.train_cfg.get('val_interval')
    if 'train_cfg.val_interval' not in options and isinstance(interval, int) and interval > 1 and new < old:
        cfg.train_cfg.val_interval = max(1, interval * new // old)  # else a short one may be evaluated at its end alone
        lines.append(f'  train_cfg.val_interval: {interval} -> {cfg.train_cfg.val_interval}')
    return [f'{key} is {new} instead of {old}: the schedule moves with it', *lines] if lines else []


def _length(cfg: Config) -> tuple[str, int] | None:
    train_cfg = cfg.get('train_cfg') or {}
    lengths = [(key, train_cfg[key]) for key in LENGTHS if isinstance(train_cfg.get(key), int) and train_cfg[key] > 0]
    return lengths[0] if len(lengths) == 1 else None


def _stretch_schedulers(cfg: Config, ratio: float) -> Iterator[str]:
    schedulers = cfg.get('param_scheduler')
    if not isinstance(schedulers, list):
        return
    kept = []
    for i, scheduler in enumerate(schedulers):
        name = f'param_scheduler.{i} ({scheduler.get("type")})'
        # mmengine accepts fractions of an epoch where it converts them to iterations
        whole = not scheduler.get('convert_to_iter_based')
        was = scheduler.get('end', 0) - scheduler.get('begin', 0)
        lines = list(_stretch(scheduler, SCHEDULER, ratio, name, whole))
        span = scheduler.get('end', 0) - scheduler.get('begin', 0)
        if whole and was >= 2 > span:  # mmengine's schedulers need two steps
            yield f'  {name}: left out, it would be shorter than two {_unit(scheduler)}'
            continue
        yield from lines
        kept.append(scheduler)
    cfg.param_scheduler = kept


def _unit(scheduler: Mapping[str, Any]) -> str:
    return 'epochs' if scheduler.get('by_epoch', True) else 'iterations'


def _stretch(entry: Any, keys: tuple[str, ...], ratio: float, name: str, whole: bool) -> Iterator[str]:
    for key in keys:
        value: Any = entry.get(key) if isinstance(entry, Mapping) else None
        is_list = isinstance(value, list | tuple)
        values = list(value) if is_list else [value]
        if not all(type(item) in (int, float) for item in values):
            continue
        moved: list = [round(item * ratio) if whole else round(item * ratio, 9) for item in values]
        if moved != values:
            entry[key] = moved if is_list else moved[0]
            yield f'  {name}.{key}: {value} -> {entry[key]}'


def _stretch_from_one(entry: Any, key: str, ratio: float, name: str) -> Iterator[str]:
    """Move the number of an epoch or iteration that is counted from 1."""
    value = entry.get(key)
    if isinstance(value, int) and value > 1 and (moved := 1 + round((value - 1) * ratio)) != value:
        entry[key] = moved
        yield f'  {name}.{key}: {value} -> {moved}'


def without_too_short(schedulers: Any, epoch_length: int) -> Any:
    """Leave out parameter schedulers in fractions of an epoch that would be shorter than two iterations.

    mmengine's schedulers need two steps: a warm-up of one would keep its first learning rate for the whole training.
    Anything but a list of dicts is returned as it is.
    """
    if not isinstance(schedulers, list) or not all(isinstance(scheduler, Mapping) for scheduler in schedulers):
        return schedulers

    def is_long(scheduler: Mapping[str, Any]) -> bool:
        if not scheduler.get('convert_to_iter_based'):
            return True
        begin, end = (int(scheduler.get(key, default) * epoch_length) for key, default in (('begin', 0), ('end', 1e9)))
        return end - begin >= 2

    return [scheduler for scheduler in schedulers if is_long(scheduler)]
