"""Checkpoint files: written atomically, read without executing code from them, and checked before use."""

import math
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from mmengine.fileio import LocalBackend, register_backend
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from ..errors import InputError
from .stock_checkpoint import stand_ins, without_stand_ins

# Environment variables of torch.load, which raises an error if both are set.
FORCE_WEIGHTS_ONLY, FORCE_NO_WEIGHTS_ONLY = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD', 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'
FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


class AtomicLocalBackend(LocalBackend):
    """mmengine's ``LocalBackend`` with atomic writes: a file gets its name once it is complete on the disk.

    If the process is killed while it writes, the previous file remains. In a config:
    ``default_hooks = dict(checkpoint=dict(type='SafeCheckpointHook', backend_args=dict(backend='atomic_local')))``
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        partial = f'{filepath}.{os.getpid()}.part'
        try:
            super().put(obj, partial)
            with open(partial, 'rb') as file:
                os.fsync(file.fileno())
            os.replace(partial, filepath)
        except OSError as error:  # the error of a full disk names no file
            raise OSError(error.errno, error.strerror, str(filepath)) from error
        finally:
            with suppress(OSError):
                Path(partial).unlink(missing_ok=True)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        self.put(obj.encode(encoding), filepath)


register_backend('atomic_local', AtomicLocalBackend, force=True)


def read_checkpoint(path: str | Path, map_location: Any = 'cpu') -> dict[str, Any]:
    """Read a checkpoint of ``ResumableRunner`` or of mmengine's ``Runner``, or a state dict, without executing code.

    Args:
        path: A local file, or a URL that mmengine's ``CheckpointLoader`` supports.
        map_location: As in ``torch.load``.

    Returns:
        dict: The saved content. NumPy arrays become tensors, NumPy scalars become Python numbers, and the history of a
        logged value becomes a dict with ``values``, ``counts`` and ``max_length``.

    Raises:
        InputError: If the file does not exist, is damaged, or holds objects other than tensors and plain containers.
            The message is one line that names the file.
    """
    content = load_plain(path, map_location)
    if not isinstance(content, Mapping):
        raise InputError(f'{path}: not a checkpoint: it holds a {type(content).__name__}')
    return content if isinstance(content, dict) else dict(content)


def load_plain(path: str | Path, map_location: Any = 'cpu') -> Any:
    """Load a file or a URL weights-only, with verified checksums; see :func:`read_checkpoint`."""
    is_local = '://' not in str(path)
    if is_local and not Path(path).is_file():
        raise InputError(f'{path}: no such file')
    try:
        with stand_ins():
            if is_local:
                verify_checksums(path)
                content = torch.load(path, map_location=map_location, weights_only=True)
            else:
                content = load_address(str(path), map_location)
        return without_stand_ins(content)
    except Exception as error:  # the unpickler raises errors of any type on data that is no pickle
        raise InputError(why_unreadable(path, error)) from error


def load_address(path: str, map_location: Any) -> Any:
    """Load a URL by mmengine's ``CheckpointLoader``, weights-only, which it does not request itself."""
    with weights_only():
        return CheckpointLoader.load_checkpoint(path, map_location=map_location)


@contextmanager
def weights_only() -> Iterator[None]:
    """Make ``torch.load`` read weights-only within this context, whatever its caller requests.

    This sets an environment variable of torch, which overrides ``weights_only=False``.
    """
    before = {name: os.environ.pop(name, None) for name in (FORCE_WEIGHTS_ONLY, FORCE_NO_WEIGHTS_ONLY)}
    os.environ[FORCE_WEIGHTS_ONLY] = '1'
    try:
        yield
    finally:
        del os.environ[FORCE_WEIGHTS_ONLY]
        os.environ.update({name: value for name, value in before.items() if value is not None})


def verify_checksums(path: str | Path) -> None:
    """Verify the checksums in a file of ``torch.save``, which ``torch.load`` ignores.

    Files in the format of torch before 1.6 have no checksums. If no entry matches its checksum, the file was written
    without checksums (``torch.serialization.set_crc32_options(False)``).

    Raises:
        zipfile.BadZipFile: If an entry is damaged.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as file:
        damaged = [entry.filename for entry in file.infolist() if not _matches_checksum(file, entry)]
        if damaged and len(damaged) < len(file.infolist()):
            raise zipfile.BadZipFile(f'{damaged[0]} does not match its checksum')


def _matches_checksum(file: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bool:
    try:
        with file.open(entry) as content:
            while content.read(1 << 20):
                pass
    except zipfile.BadZipFile:
        return False
    return True


def why_unreadable(path: str | Path, error: Exception) -> str:
    """Explain in one line why a file cannot be loaded, given the error of ``torch.load``."""
    if isinstance(error, OSError) and error.strerror:
        return f'{path}: cannot be read: {error.strerror}'
    requested = re.search(r'GLOBAL (\S+)|(getattr) is not allowed', str(error))
    if requested is None:
        return f'{path}: damaged, or not a checkpoint at all'
    return (
        f'{path}: refused. Reading it would use {requested[1] or requested[2]}, which weights do not need. If you '
        'trust its source, save only its state dict and load that.'
    )


def state_dict_of(checkpoint: Any, source: str | Path) -> dict[str, Any]:
    """Return the weights of a checkpoint or of a bare state dict, without DistributedDataParallel's prefix ``module.``.

    Raises:
        InputError: If it holds no weights. The message names ``source``.
    """
    weights = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, Mapping) else None
    if not isinstance(weights, Mapping) or not all(isinstance(key, str) for key in weights):
        raise InputError(f'{source}: no weights in it')
    return {key.removeprefix('module.'): value for key, value in weights.items()}


def check_weights_fit(model: nn.Module, weights: Mapping[str, Any], source: str | Path) -> None:
    """Check that weights belong to a model; mmengine itself loads those that match and skips the others.

    Args:
        model: The network to load into. Wrappers such as DistributedDataParallel are removed.
        weights: State dict, or a checkpoint that holds one under ``state_dict``.
        source: Name of the weights in the error message.

    Raises:
        InputError: If a weight of the model is missing, has another shape or kind of dtype, is sparse, has no data, or
            holds values that are not finite. The message gives the number of such weights and names the first three.
    """
    model = without_wrappers(model)
    weights = with_current_names(model, state_dict_of(weights, source))
    expected = model.state_dict()
    problems = [
        f'{key} is missing' for key in expected if key not in weights and not key.endswith('num_batches_tracked')
    ]
    for key, value in expected.items():
        problem = _problem(weights[key], value) if key in weights and isinstance(value, Tensor) else None
        if problem:
            problems.append(f'{key} {problem}')
    if problems:
        first = '; '.join(problems[:3]) + ('; ...' if len(problems) > 3 else '')
        raise InputError(
            f'{source} does not fit the model: {len(problems)} of its {len(expected)} weights are missing, of another '
            f'shape or no weights: {first}'
        )


def without_wrappers(model: nn.Module) -> nn.Module:
    """Return the model inside DistributedDataParallel or a similar wrapper."""
    while isinstance(wrapped := getattr(model, 'module', None), nn.Module):
        model = wrapped
    return model


def with_current_names(model: nn.Module, weights: Mapping[str, Any]) -> Mapping[str, Any]:
    """Rename weights of modules whose parameters had other names in earlier versions (``former_names``)."""
    for prefix, module in model.named_modules():
        for former, name in getattr(module, 'former_names', {}).items():
            start, current = (f'{prefix}.{end}'.lstrip('.') for end in (former, name))
            if any(key.startswith(start) for key in weights):
                weights = {
                    current + key.removeprefix(start) if key.startswith(start) else key: value
                    for key, value in weights.items()
                }
    return weights


def _problem(value: Any, expected: Tensor) -> str | None:
    shape = getattr(value, 'shape', None)
    if shape != expected.shape:
        return f'is of shape {tuple(shape or ())} instead of {tuple(expected.shape)}'
    if expected.is_floating_point() and expected.isfinite().all():
        return weight_problem(value)
    return dense_problem(value) or (None if value.dtype == expected.dtype else f'is of {value.dtype}')


def check_weights_sound(weights: Mapping[str, Any], source: str | Path) -> None:
    """Check that tensors can be weights of a network: dense, real and finite.

    Raises:
        InputError: If one cannot. The message names the source and the tensor.
    """
    for key, value in weights.items():
        if isinstance(value, Tensor):
            is_float = value.is_floating_point() or value.is_complex() or value.is_quantized
            problem = weight_problem(value) if is_float else dense_problem(value)
            if problem:
                raise InputError(f'{source}: {key} {problem}')


def names_of_weights(model: nn.Module) -> set[str]:
    """Return the names of the values that have to be finite: parameters and batch statistics, but not masks."""
    model = without_wrappers(model)
    statistics = {key for key, _ in model.named_buffers() if key.endswith(('running_mean', 'running_var'))}
    return statistics | {key for key, _ in model.named_parameters()}


def weight_problem(value: Any) -> str | None:
    """Describe why a value cannot be a floating-point weight; None if it can."""
    if not isinstance(value, Tensor):
        return f'is no tensor but {type(value).__name__}'
    if dense_problem(value):
        return dense_problem(value)
    if value.dtype not in FLOATS:
        return f'is of {value.dtype}; weights are of a floating-point type'
    if not value.isfinite().all():
        return 'holds values that are not finite'
    return None


def dense_problem(value: Tensor) -> str | None:
    """Describe why a tensor is not a dense array in memory; None if it is."""
    if value.layout != torch.strided or value.device.type == 'meta' or value.is_quantized:
        return f'is a {value.layout} tensor of {value.dtype} on {value.device}; it should be a dense one'
    return None


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
            f'{source}: cannot be resumed from: it has {len(states)} param_schedulers, this training {len(schedulers)}'
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
