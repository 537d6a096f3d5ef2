"""Checkpoints: written whole or not at all, read by torch >= 2.6 with weights-only loading on, of the right model."""

import inspect
import os
import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.fileio import LocalBackend, register_backend
from mmengine.logging import HistoryBuffer
from mmengine.utils import digit_version
from torch import Tensor, nn


class AtomicLocalBackend(LocalBackend):
    """mmengine's local files, but a file appears under its name only once all of it is on the disk.

    A process killed while it writes leaves the previous file, never half of the new one. In a config:
    ``default_hooks = dict(checkpoint=dict(type='CheckpointHook', backend_args=dict(backend='atomic_local')))``
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        partial = f'{filepath}.{os.getpid()}.part'
        try:
            super().put(obj, partial)
            with open(partial, 'rb') as file:
                os.fsync(file.fileno())
            os.replace(partial, filepath)
        finally:
            Path(partial).unlink(missing_ok=True)


register_backend('atomic_local', AtomicLocalBackend, force=True)


def check_weights_fit(model: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Refuse weights of another network, which mmengine loads as far as names agree.

    Args:
        model: The network to load into; a wrapper's ``module`` is taken.
        weights: State dict, or a checkpoint that holds one under ``state_dict``.
        source: What to call it in the error.

    Raises:
        ValueError: If a weight of the model is missing or has another shape; says how many and which come first.
    """
    while hasattr(model, 'module'):
        model = model.module
    if not isinstance(weights, Mapping) or not isinstance(weights.get('state_dict', weights), Mapping):
        raise ValueError(f'{source}: no weights in it')
    weights = weights.get('state_dict', weights)
    weights = {key.removeprefix('module.'): value for key, value in weights.items()}
    expected = model.state_dict()
    missing = [key for key in expected if key not in weights and not key.endswith('num_batches_tracked')]
    problems = [f'{key} is missing' for key in missing]
    problems += [
        f'{key} is {tuple(getattr(weights[key], "shape", ()))} there and {tuple(value.shape)} in the model'
        for key, value in expected.items()
        if key in weights and getattr(weights[key], 'shape', None) != value.shape
    ]
    if problems:
        first = '; '.join(problems[:3]) + ('; ...' if len(problems) > 3 else '')
        raise ValueError(
            f'{source} does not fit the model: {len(problems)} of its {len(expected)} weights are missing or of '
            f'another shape: {first}'
        )


def why_unreadable(path: str | Path, error: Exception) -> str:
    """One line on a file that ``torch.load`` refused with ``error``."""
    asked = re.search(r'GLOBAL (\S+)|(getattr\(.*\)) is not allowed', str(error))
    if asked is None:
        return f'{path}: damaged, or not a checkpoint at all'
    return (
        f'{path}: refused. Reading it would use {asked[1] or asked[2]}, which weights need not. If you trust its '
        'source, save its state dict alone and load that.'
    )


def allow_mmengine_checkpoints() -> None:
    """Let weights-only unpickling read what mmengine's Runner writes beside the weights.

    From torch 2.6 ``torch.load`` unpickles tensors and plain containers alone, and mmengine 0.10's own checkpoints,
    which hold the log's history as numpy arrays, fail at ``--resume`` and in test scripts. This adds those classes to
    torch's list, for the whole process; anything else that a pickle asks for is refused as before.
    """
    if digit_version(torch.__version__) < digit_version('2.6'):  # loads everything, and has no names for what it allows
        return
    reconstruct, scalar = np.array(0).__reduce__()[0], np.float64(0).__reduce__()[0]
    type_codes = '?SU' + np.typecodes['AllInteger'] + np.typecodes['AllFloat']
    allowed: list[Any] = [HistoryBuffer, np.ndarray, np.dtype, *{type(np.dtype(code)) for code in type_codes}]
    for module in ('numpy._core.multiarray', 'numpy.core.multiarray'):  # numpy 2 and 1, whichever wrote the file
        allowed += [(reconstruct, f'{module}._reconstruct'), (scalar, f'{module}.scalar')]
    # HistoryBuffer pickles its methods by calling getattr; the real one would hand a file any attribute it likes
    allowed.append((_history_buffer_method, 'builtins.getattr'))
    torch.serialization.add_safe_globals(allowed)


def _history_buffer_method(owner: Any, name: str) -> Callable:
    if owner is HistoryBuffer and not name.startswith('_') and inspect.isfunction(vars(HistoryBuffer).get(name)):
        return vars(HistoryBuffer)[name]
    raise pickle.UnpicklingError(f'getattr({owner!r}, {name!r}) is not allowed in a checkpoint')
