"""Weights out of files of any source, read safely; checkpoints, written whole or not at all."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.runner import save_checkpoint
from torch import Tensor, nn

from ..engine.checkpoint import check_weights_fit, why_unreadable
from ..version import __version__

# Where training scripts put the weights; averaged ones first, which is what their authors evaluate.
PLACES = ('ema.module', 'ema', 'model_ema', 'state_dict_ema', 'model', 'state_dict')

FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def read_weights(path: str | Path) -> tuple[dict[str, Tensor], str]:
    """State dict of a ``.pth`` or ``.safetensors`` file or of a Hugging Face folder, whatever it is wrapped in.

    Nothing in the file is run: pickles are read weights-only. The prefix ``module.`` of DistributedDataParallel and of
    averaged models is taken off.

    Returns:
        tuple[dict[str, Tensor], str]: The weights, and the entry of the file that held them, or ``''``.

    Raises:
        ValueError: If there is no such file, it cannot be read, holds no weights, or holds weights that are not
            finite or not floating point; names the file and the tensor.
    """
    content = _read(Path(path))
    place, weights = next(
        ((place, found) for place in PLACES if (found := _entry(content, place)) is not None), ('', content)
    )
    if not isinstance(weights, Mapping) or not any(isinstance(value, Tensor) for value in weights.values()):
        raise ValueError(f'{path}: no weights in it; looked into {", ".join(PLACES)} and the file itself')
    weights = dict(weights)
    for key, value in weights.items():
        if not isinstance(value, Tensor):
            raise ValueError(f'{path}: {key!r} among the weights is no tensor but {type(value).__name__}')
        if key.endswith('num_batches_tracked'):
            continue
        if value.dtype not in FLOATS and value.dtype != torch.bool:
            raise ValueError(f'{path}: {key!r} is of {value.dtype}; weights are of a floating-point type')
        if not value.isfinite().all() and not key.endswith('anchors'):  # RT-DETR's, where there is none
            raise ValueError(f'{path}: {key!r} holds values that are not finite')
    while all(key.startswith('module.') for key in weights):
        weights = {key.removeprefix('module.'): value for key, value in weights.items()}
    return weights, place


def _entry(content: Any, place: str) -> Mapping | None:
    for name in place.split('.'):
        content = content.get(name) if isinstance(content, Mapping) else None
    return content if isinstance(content, Mapping) else None


def _read(path: Path) -> Any:
    if path.is_dir():
        files = sorted(path.glob('*.safetensors'))
        if not files:
            raise ValueError(f'{path}: a folder without a .safetensors file')
        return {key: value for file in files for key, value in _read(file).items()}
    if not path.is_file():
        raise ValueError(f'{path}: no such file')
    try:
        if path.suffix == '.safetensors':
            from safetensors.torch import load_file

            return load_file(path)
        return torch.load(path, map_location='cpu', weights_only=True)
    except ImportError as error:
        raise ValueError(f'{path}: reading it needs safetensors: pip install safetensors') from error
    except Exception as error:  # what is not a pickle makes the unpickler fail in any way
        raise ValueError(why_unreadable(path, error)) from error


def fit_exactly(model: nn.Module, weights: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """The weights with nothing missing and nothing unknown; counters of batch norms that were frozen start at 0.

    Raises:
        ValueError: Otherwise; names the first tensors.
    """
    check_weights_fit(model, weights, source)
    expected = model.state_dict()
    unknown = [key for key in weights if key not in expected]
    if unknown:
        raise ValueError(f'{source}: the model has no place for {len(unknown)} weights: {", ".join(unknown[:3])}')
    counters = {key: value for key, value in expected.items() if key not in weights}
    return {**weights, **counters}


def write_checkpoint(path: str | Path, weights: Mapping[str, Tensor], classes: list[str] | None = None) -> None:
    """Write weights as mmengine's Runner would, with the names of the classes if they are known."""
    meta: dict[str, Any] = dict(mmspartan_version=__version__)
    if classes:
        meta['dataset_meta'] = dict(classes=tuple(classes))
    write_whole(path, dict(meta=meta, state_dict=dict(weights)))


def write_whole(path: str | Path, content: dict) -> None:
    """Write a file that is there as a whole or not at all."""
    save_checkpoint(content, str(path), backend_args=dict(backend='atomic_local'))
