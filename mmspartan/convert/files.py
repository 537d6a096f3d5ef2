"""Safe reading of weights from files of any origin, and atomic writing of checkpoints."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..checkpoints.checkpoint import AtomicLocalBackend, check_weights_fit, dense_problem, load_plain, weight_problem
from ..checkpoints.safetensors_file import SUFFIX
from ..errors import InputError
from ..version import __version__

# Entries where training scripts store the weights; averaged weights first, since their authors evaluate those.
ENTRIES = ('ema.module', 'ema', 'model_ema', 'state_dict_ema', 'model', 'state_dict')

# Prefixes that wrappers add to each name: DistributedDataParallel and averaged models, torch.compile.
PREFIXES = ('module.', '_orig_mod.', 'module.')

# Entries of averaged models that are no weights.
COUNTERS = ('n_averaged', 'steps')


def read_weights(path: str | Path) -> tuple[dict[str, Tensor], str]:
    """Read the state dict in a ``.pth`` or ``.safetensors`` file or a Hugging Face folder, at any of the usual entries.

    No code from the file is executed: pickles are read weights-only. Prefixes of wrappers such as
    DistributedDataParallel's ``module.`` are removed.

    Returns:
        tuple[dict[str, Tensor], str]: The weights, and the entry that held them, ``''`` for the file itself.

    Raises:
        InputError: If the file does not exist, cannot be read or holds no weights, or if a weight is not finite or not
            floating-point. The message names the file and the tensor.
    """
    content = _read(Path(path))
    found = ((entry, _unwrapped(_value(content, entry))) for entry in ENTRIES)
    entry, weights = next((pair for pair in found if pair[1]), ('', _unwrapped(content)))
    if not weights:
        raise InputError(f'{path}: no weights in it; looked into {", ".join(ENTRIES)} and the file itself')
    weights = {key: value for key, value in weights.items() if key not in COUNTERS}
    for key, value in weights.items():
        problem = _problem(key, value)
        if problem:
            raise InputError(f'{path}: {key!r} among the weights {problem}')
    for prefix in PREFIXES:
        while all(key.startswith(prefix) for key in weights):
            weights = {key.removeprefix(prefix): value for key, value in weights.items()}
    return weights, entry


def _value(content: Any, entry: str) -> Any:
    for name in entry.split('.'):
        content = content.get(name) if isinstance(content, Mapping) else None
    return content


def _unwrapped(content: Any) -> dict | None:
    """Return the mapping that holds tensors: ``content``, or its entry ``module`` or ``state_dict`` at any depth."""
    while isinstance(content, Mapping):
        if any(isinstance(value, Tensor) for key, value in content.items() if key not in COUNTERS):
            return dict(content)
        content = content.get('module', content.get('state_dict'))
    return None


def _problem(key: Any, value: Any) -> str | None:
    if not isinstance(key, str):
        return 'is not a name'
    if not isinstance(value, Tensor):
        return f'is no tensor but {type(value).__name__}'
    if key.endswith('num_batches_tracked'):
        return None if value.shape == () and value.dtype == torch.int64 else 'is not a count'
    if key.endswith('valid_mask') and value.dtype == torch.bool:  # of RT-DETR
        return None
    if key.endswith('anchors') and value.is_floating_point():  # of RT-DETR, infinite where an anchor is not valid
        return dense_problem(value)
    if key.endswith('reg_scale') and value.dtype == torch.int64:  # of D-FINE, whose configs have an integer
        return None
    return weight_problem(value)


def _read(path: Path) -> Any:
    if path.is_dir():
        files = sorted(path.glob(f'*{SUFFIX}'))
        if not files:
            raise InputError(f'{path}: a folder without a .safetensors file')
        return {key: value for file in files for key, value in _read(file).items()}
    content = load_plain(path)
    return content['state_dict'] if path.suffix == SUFFIX else content


def fit_exactly(model: nn.Module, weights: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Check that a model has exactly these weights, and add missing counters of batch normalization, which are 0.

    Raises:
        InputError: If a weight is missing or unknown, or does not fit. The message names the first ones.
    """
    check_weights_fit(model, weights, source)
    expected = model.state_dict()
    unknown = [key for key in weights if key not in expected]
    if unknown:
        raise InputError(f'{source}: {len(unknown)} weights are not in the model: {", ".join(unknown[:3])}')
    counters = {key: value for key, value in expected.items() if key not in weights}
    return {**weights, **counters}


def write_checkpoint(
    path: str | Path, weights: Mapping[str, Tensor], classes: list[str] | None = None, **entries: Any
) -> None:
    """Write weights in the format of mmengine's Runner, with the class names if they are known, and further entries."""
    meta: dict[str, Any] = dict(mmspartan_version=__version__)
    if classes:
        meta['dataset_meta'] = dict(classes=tuple(classes))
    write_whole(path, dict(meta=meta, state_dict=dict(weights), **entries))


def write_whole(path: str | Path, content: dict) -> None:
    """Write a file atomically by ``torch.save``; raises InputError if it cannot be written."""
    check_target(path)
    written = io.BytesIO()
    torch.save(content, written)
    write_bytes(path, written.getvalue())


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file atomically; raises InputError if it cannot be written."""
    try:
        AtomicLocalBackend().put(content, Path(path).resolve())
    except OSError as error:
        raise InputError(f'{path}: cannot be written: {error}') from error


def check_target(path: str | Path, source: str | Path | None = None) -> None:
    """Check that ``path`` can be written as a local file.

    Raises InputError if it is a folder, a device, a URL or the file ``source``, or its parent is not a folder.
    """
    target = Path(path)
    if not str(path) or '://' in str(path):
        raise InputError(f'{str(path)!r}: not a local file to write')
    try:
        if target.exists() and not target.is_file():
            raise InputError(f'{path}: there is something that is no file')
        if source is not None and target.exists() and Path(source).exists() and target.samefile(source):
            raise InputError(f'{path}: is the file to read, which would be lost; give another name')
        parent = next(folder for folder in target.absolute().parents if folder.exists())
    except OSError as error:
        raise InputError(f'{path}: cannot be written: {error}') from error
    if not parent.is_dir():
        raise InputError(f'{path}: {parent} is no folder')
