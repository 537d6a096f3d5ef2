"""Files of weights whose golden outputs are stored; the weights follow from their names."""

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from torch.testing import assert_close

from mmspartan import config_path
from mmspartan.convert.files import fit_exactly
from mmspartan.convert.hf_config import read_hugging_face_config
from tests.conftest import DATA, build_model
from tests.deimv2 import make_golden as make_golden_v2
from tests.deimv2 import make_golden_hf as make_golden_v2_hf
from tests.dfine import make_golden, make_golden_hf


class Stored:
    """A network ``kind`` of a file of golden data: ``weights``, ``settings`` beside them, and expected outputs."""

    def __init__(self, file: str, kind: str, weight: Callable[[str, tuple[int, ...]], torch.Tensor]):
        with np.load(DATA / file) as found:
            names = [name for name in found.files if name.startswith(f'{kind}/')]
            self.arrays = {name.removeprefix(f'{kind}/'): found[name] for name in names}
        shapes = [tuple(map(int, filter(None, shape.split('x')))) for shape in self.arrays['shapes']]
        self.weights = {name: weight(name, shape) for name, shape in zip(self.arrays['names'].tolist(), shapes)}
        self.settings = self.group('setting')
        self.config = json.loads(self.arrays['config'].item()) if 'config' in self.arrays else {}
        self.logits, self.boxes = (torch.from_numpy(self.arrays[name]) for name in ('logits', 'boxes'))

    def group(self, name: str) -> dict[str, torch.Tensor]:
        """The tensors under ``name/``, without it."""
        found = [key for key in self.arrays if key.startswith(f'{name}/')]
        return {key.removeprefix(f'{name}/'): torch.from_numpy(self.arrays[key]) for key in found}

    @torch.no_grad()
    def compare(self, base: str, options: dict[str, Any], weights: dict[str, torch.Tensor]) -> None:
        """Build a model of this package on a config, with converted weights, and compare its outputs."""
        cfg = Config.fromfile(config_path(base))
        cfg.merge_from_dict(dict(model=dict(options, num_queries=make_golden.QUERIES)))
        model = build_model(cfg.model).double().eval()
        model.load_state_dict(fit_exactly(model, weights, 'source'))
        logits, boxes = model(make_golden.images(), mode='tensor')
        assert_close(logits[-1], self.logits, rtol=0, atol=1e-9)
        assert_close(boxes[-1], self.boxes, rtol=0, atol=1e-9)


def of_hugging_face(size: str) -> Stored:
    return Stored('dfine_hf.npz', size, make_golden_hf.weight)


def of_deimv2(size: str) -> Stored:
    return Stored('deimv2.npz', size, partial(make_golden_v2.weight, size=size))


def of_deimv2_hugging_face(size: str) -> Stored:
    return Stored('deimv2_hf.npz', size, partial(make_golden_v2_hf.weight, size=size))


def of_dfine(size: str) -> Stored:
    """With weights of zero, which the largest sizes are made of at once."""
    return Stored('dfine.npz', size, lambda name, shape: torch.zeros(shape))


def of_rtdetrv2(kind: str) -> Stored:
    return Stored('rtdetrv2.npz', kind, make_golden.weight)


def of_deim(kind: str) -> Stored:
    return Stored('deim.npz', kind, make_golden.weight)


def assert_setting_is_refused(config: dict, option: str, value: object, folder: Path) -> None:
    """The config is read as it is, and refused with another value of an option, a dotted name."""
    path = folder / 'config.json'
    path.write_text(json.dumps(config))
    assert read_hugging_face_config(folder, num_levels=2) == config
    part, (*parents, name) = config, option.split('.')
    for parent in parents:
        part = part[parent]
    assert name in part
    part[name] = value
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=rf'config\.json: {re.escape(option)} is {re.escape(repr(value))}'):
        read_hugging_face_config(folder, num_levels=2)
