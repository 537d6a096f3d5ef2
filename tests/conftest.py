from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

import mmspartan  # noqa: F401 - registers

DATA = Path(__file__).parent / 'data'
ROOT = Path(__file__).parents[1]


class Golden(dict):
    """Arrays of a golden file as float64 tensors."""

    def __init__(self, name: str):
        with np.load(DATA / name) as file:
            super().__init__((key, torch.from_numpy(file[key])) for key in file.files)
        for key, value in self.items():
            if value.is_floating_point():
                self[key] = value.double()

    def group(self, prefix: str) -> dict[str, Tensor]:
        """The entries under ``prefix/``, without it."""
        return {key.removeprefix(f'{prefix}/'): value for key, value in self.items() if key.startswith(f'{prefix}/')}


@pytest.fixture(scope='session')
def golden_spartan() -> Golden:
    return Golden('spartan_tiny.npz')


@pytest.fixture
def build_spartan() -> Callable[..., nn.Module]:
    """Builds an initialized SpaRTAN from keyword arguments; a small one unless ``arch`` is given."""

    def build(**kwargs) -> nn.Module:
        torch.manual_seed(0)
        model = MODELS.build(dict(type='SpaRTAN', **{'arch': TINY, **kwargs}))
        torch.manual_seed(0)
        model.init_weights()
        return model

    return build


# The network of the golden file.
TINY = dict(channels=(16, 24, 32, 48), depths=(1, 2, 2, 1), expand_ratios=(4, 4, 2, 2))
