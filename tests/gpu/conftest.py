"""Tests that need a GPU: ``pytest -m gpu``. Without one they are skipped."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.conftest import ROOT

os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')  # what cuBLAS needs to be deterministic


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.gpu)
            item.add_marker(pytest.mark.skipif(not torch.cuda.is_available(), reason='no GPU'))


@pytest.fixture(autouse=True)
def full_float32() -> Iterator[None]:
    """Convolutions in float32, for which PyTorch's default is TF32 with 10 bits."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.fixture
def deterministic() -> Iterator[None]:
    """As mmengine's ``randomness.deterministic``; operations that are not deterministic raise an error."""
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.deterministic = True
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.deterministic = False


@contextmanager
def no_waits() -> Iterator[None]:
    """Within this context an operation for which the host waits for the GPU raises an error."""
    torch.cuda.set_sync_debug_mode('error')
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode('default')


@torch.no_grad()
def with_clear_winner(model: nn.Module) -> nn.Module:
    """One channel wins the CMixers' argmax everywhere, where rounding could decide a near-tie."""
    for name, parameter in model.named_parameters():
        if name.endswith('norm2.bias'):
            parameter[3] = 10.0
    return model


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    found, expected = found.detach().double().cpu(), expected.detach().double().cpu()
    return float((found - expected).norm() / expected.norm())


@pytest.fixture(scope='session')
def run_on_gpu() -> Callable[..., str]:
    """Runs a script of ``tools/``, which has to succeed and sees the GPU; returns all that it printed."""

    def run(script: str, *arguments, cwd: Path) -> str:
        path = ROOT / 'tools' / script
        command = ['bash' if path.suffix == '.sh' else sys.executable, path, *arguments]
        env = {**os.environ, 'PYTHON': sys.executable}
        result = subprocess.run(
            list(map(str, command)), cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=300
        )
        assert result.returncode == 0, result.stderr[-3000:]
        return result.stdout + result.stderr

    return run
