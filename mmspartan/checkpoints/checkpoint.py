"""Checkpoint files: written atomically, read without executing code from them, and checked before use."""

import os
import re
import tarfile
import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from mmengine.dist import barrier, get_local_rank
from mmengine.fileio import LocalBackend, register_backend
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from ..errors import InputError
from . import plain_pickle
from .safetensors_file import SUFFIX, read_safetensors
from .stock_checkpoint import HAS_SAFE_GLOBALS, NotPlainError, stand_ins, without_stand_ins

# Environment variables of torch.load, which raises an error if both are set.
FORCE_WEIGHTS_ONLY, FORCE_NO_WEIGHTS_ONLY = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD', 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'
# Prefix of paths that mmengine's loader, and thereby an ``init_cfg``, reads by this module.
WEIGHTS_ONLY = 'weights-only:'
IS_FOLDER = 0x10  # bit of a ZIP entry's attributes
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
    try:
        if str(path).startswith(('http://', 'https://')):
            return load_file(downloaded(str(path)), map_location)
        if '://' in str(path):  # storages and names that mmengine knows
            with weights_only():
                return CheckpointLoader.load_checkpoint(str(path), map_location=map_location)
        if not Path(path).is_file():
            raise InputError(f'{path}: no such file')
        return load_file(path, map_location)
    except InputError:
        raise
    except Exception as error:  # the unpickler raises errors of any type on data that is no pickle
        raise InputError(why_unreadable(path, error)) from error


def load_file(path: str | Path, map_location: Any) -> Any:
    """Load a local file weights-only, whatever classes are on torch's list, and verify its checksums."""
    if Path(path).suffix == SUFFIX:
        return read_safetensors(path, map_location)
    verify_checksums(path)
    refuse_programs(path)
    if HAS_SAFE_GLOBALS:
        with stand_ins():
            content = torch.load(path, map_location=map_location, weights_only=True)
    else:
        with weights_only(force=False):  # torch does not force its own unpickler upon another one
            content = torch.load(path, map_location=map_location, pickle_module=plain_pickle)
    return without_stand_ins(content)


def downloaded(address: str) -> Path:
    """Download a file into torch's folder of checkpoints, once on each machine, and return its path."""
    path = Path(torch.hub.get_dir(), 'checkpoints', Path(urlparse(address).path).name)
    if not path.exists() and get_local_rank() == 0:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(address, str(path), progress=False)
        except OSError as error:
            raise InputError(f'{address}: cannot be downloaded: {error}') from error
    barrier()
    return path


@CheckpointLoader.register_scheme(prefixes=WEIGHTS_ONLY, force=True)
def load_from_weights_only(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Let mmengine read ``weights-only:PATH`` by :func:`read_checkpoint`."""
    return read_checkpoint(filename.removeprefix(WEIGHTS_ONLY), map_location)


@contextmanager
def weights_only(force: bool = True) -> Iterator[None]:
    """Make ``torch.load`` read weights-only within this context, whatever its caller requests.

    This sets an environment variable of torch, which overrides ``weights_only=False``. With ``force=False`` neither
    this variable nor its opposite is set.
    """
    before = {name: os.environ.pop(name, None) for name in (FORCE_WEIGHTS_ONLY, FORCE_NO_WEIGHTS_ONLY)}
    if force:
        os.environ[FORCE_WEIGHTS_ONLY] = '1'
    try:
        yield
    finally:
        os.environ.pop(FORCE_WEIGHTS_ONLY, None)
        os.environ.update({name: value for name, value in before.items() if value is not None})


def force_weights_only() -> None:
    """Make ``torch.load`` read weights-only in this process and those that it starts; see :func:`weights_only`."""
    os.environ.pop(FORCE_NO_WEIGHTS_ONLY, None)
    os.environ[FORCE_WEIGHTS_ONLY] = '1'


def refuse_programs(path: str | Path) -> None:
    """Refuse formats that ``torch.load`` opens by other means before torch 2.6, also if it is to read weights-only.

    Raises InputError for an archive of TorchScript, which runs code as it is loaded, and for a tar file.
    """
    if tarfile.is_tarfile(path):
        raise InputError(f'{path}: refused. It is a tar file, not a checkpoint.')
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:
            if any(Path(name).name == 'constants.pkl' for name in file.namelist()):
                raise InputError(f'{path}: refused. It is a TorchScript program, not a checkpoint.')


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
        for entry in file.infolist():
            if entry.external_attr & IS_FOLDER and not entry.is_dir():  # torch would leave its memory as it is
                raise zipfile.BadZipFile(f'{entry.filename} is marked as a folder')


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
    if isinstance(error, OSError) and (error.strerror or '://' in str(path)):
        verb = 'downloaded' if '://' in str(path) else 'read'
        return f'{path}: cannot be {verb}: {error.strerror or error}'
    for each in (error, error.__context__):  # torch raises an error of its own for one of a stand-in
        if isinstance(each, NotPlainError):
            return f'{path}: refused: it holds {each}'
    requested = re.search(r'(?:GLOBAL|Unsupported class) (\S+)|(getattr) is not allowed', str(error))
    if requested is None:
        return f'{path}: damaged, or not a checkpoint at all'
    return (
        f'{path}: refused. Reading it would use {requested[1] or requested[2]}, which weights do not need. If you '
        'trust its source, save only its state dict and load that.'
    )


def state_dict_of(checkpoint: Any, source: str | Path) -> dict[str, Any]:
    """Return the weights of a checkpoint or of a bare state dict, without DistributedDataParallel's prefix ``module.``.

    Raises InputError, which names ``source``, if it holds no weights.
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


def without_other_shapes(model: nn.Module, weights: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Replace weights of another shape than the model's by the model's own, as for another number of classes.

    mmengine skips them with a line on each, in each model that it loads them into. Weights of modules that adapt what
    they load, such as the position embedding of mmpretrain's ViT, stay as they are.

    Returns:
        tuple: The weights, and a text on each that was replaced.
    """
    model = without_wrappers(model)
    own = model.state_dict()
    adapted = tuple(
        f'{name}.' if name else '' for name, each in model.named_modules() if each._load_state_dict_pre_hooks
    )
    other = {
        key: own[key]
        for key, value in weights.items()
        if isinstance(value, Tensor) and isinstance(own.get(key), Tensor) and value.shape != own[key].shape
        if not key.startswith(adapted)
    }
    texts = [f'{key} {tuple(weights[key].shape)} instead of {tuple(value.shape)}' for key, value in other.items()]
    return {**weights, **other}, texts


def without_wrappers(model: nn.Module) -> nn.Module:
    """Return the model inside DistributedDataParallel or a similar wrapper."""
    while isinstance(wrapped := getattr(model, 'module', None), nn.Module):
        model = wrapped
    return model


def with_current_names(model: nn.Module, weights: Mapping[str, Any]) -> dict[str, Any]:
    """Rename weights of modules whose parameters had other names in earlier versions (``former_names``)."""
    renamed = dict(weights)
    for name, module in model.named_modules():
        rename_former(renamed, getattr(module, 'former_names', {}), f'{name}.'.lstrip('.'))
    return renamed


def rename_former(weights: dict[str, Any], former_names: Mapping[str, str], prefix: str) -> None:
    """Replace the former starts of names below ``prefix`` by the current ones, in place."""
    for former, name in former_names.items():
        for key in [key for key in weights if key.startswith(prefix + former)]:
            weights[prefix + name + key.removeprefix(prefix + former)] = weights.pop(key)


def _problem(value: Any, expected: Tensor) -> str | None:
    shape = getattr(value, 'shape', None)
    if shape != expected.shape:
        return f'is of shape {tuple(shape or ())} instead of {tuple(expected.shape)}'
    if expected.is_floating_point() and expected.isfinite().all():
        return weight_problem(value)
    return dense_problem(value) or (None if value.dtype == expected.dtype else f'is of {value.dtype}')


def check_weights_sound(weights: Mapping[str, Any], source: str | Path, names: Collection[str] = ()) -> None:
    """Check that tensors can be weights of a network: dense, real and finite.

    Values of ``names`` have to be such tensors of a floating-point type.

    Raises InputError, which names the source and the tensor, if one cannot.
    """
    for key, value in weights.items():
        if isinstance(value, Tensor) or key in names:
            is_float = key in names or value.is_floating_point() or value.is_complex() or value.is_quantized
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
