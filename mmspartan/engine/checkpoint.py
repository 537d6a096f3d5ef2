"""Checkpoints: written whole or not at all, and read by torch >= 2.6 with weights-only unpickling left on."""

import inspect
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.fileio import LocalBackend, register_backend
from mmengine.logging import HistoryBuffer
from mmengine.utils import digit_version


class AtomicLocalBackend(LocalBackend):
    """mmengine's local files, but a file appears under its name only once all of it is on the disk.

    A process killed while it writes leaves the previous file, never half of the new one. In a config:
    ``default_hooks = dict(checkpoint=dict(type='CheckpointHook', backend_args=dict(backend='atomic_local')))``
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        partial = f'{filepath}.part'
        super().put(obj, partial)
        with open(partial, 'rb') as file:
            os.fsync(file.fileno())
        os.replace(partial, filepath)


register_backend('atomic_local', AtomicLocalBackend, force=True)


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
