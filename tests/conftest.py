import os

from mmspartan_cli.openmp import limit_threads

if 'PYTEST_XDIST_WORKER' in os.environ:  # a process a core: each and what it starts uses one, and ports of its own
    os.environ['OMP_NUM_THREADS'] = '1'
    os.environ['PORT'] = str(29500 + 10 * int(os.environ['PYTEST_XDIST_WORKER'].removeprefix('gw')))
else:
    limit_threads()

import gc
import io
import logging
import runpy
import shutil
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn

import mmspartan  # noqa: F401 - registers
from mmspartan.checkpoints.checkpoint import FORCE_NO_WEIGHTS_ONLY, FORCE_WEIGHTS_ONLY
from mmspartan.errors import OptionError
from mmspartan.stack import release
from tests.docs.scripts import called_as, run_here
from tests.forks import Fork

DATA = Path(__file__).parent / 'data'
ROOT = Path(__file__).parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with long trainings first, or one process would end with them while the others have nothing to do."""
    long = {item.path for item in items if item.get_closest_marker('training')}
    items.sort(key=lambda item: item.path not in long)


def pytest_collection_finish() -> None:
    """Datasets collect garbage when they are built; that need not go through all modules each time."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """A test that ends with the line of ``require_exporter`` is skipped with it, where torch is as old as it says."""
    report = yield
    if report.failed and release(torch.__version__) < (2, 6):
        needs = f'export to ONNX needs torch 2.6 or later, and {torch.__version__} is installed'
        if needs in str(call.excinfo.value):
            report.outcome, report.longrepr = 'skipped', (str(item.path), item.location[1], f'Skipped: {needs}')
    return report


@torch.no_grad()
def perturb(model: nn.Module, scale: float = 0.1) -> None:
    """Move all values of an initialized model, so that nothing is at its start, where folding would be easy."""
    for name, tensor in model.state_dict().items():
        if name.endswith('running_var'):
            tensor.uniform_(0.5, 1.5)
        elif tensor.is_floating_point():
            tensor.add_(scale * torch.randn_like(tensor))


@contextmanager
def refuses(owner: str, option: str, value: Any = ...) -> Iterator[None]:
    """The block gives a class an option that is not valid; ``tests/test_checks.py`` tests the wording of the error."""
    with pytest.raises(OptionError) as refused:
        yield
    error = refused.value
    assert (error.owner, error.option) == (owner, option), error
    assert value is ... or repr(error.value) == repr(value), error  # NaN equals nothing


def require_autocast(dtype: torch.dtype) -> None:
    """Skip the test where torch has no autocast to ``dtype`` on a CPU; it warns and stays off."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        if not torch.autocast('cpu', dtype)._enabled:
            pytest.skip(f'torch {torch.__version__} has no autocast to {dtype} on CPUs, 2.14 has')


def require_convolution(dtype: torch.dtype) -> None:
    """Skip the test where torch has no convolution in ``dtype`` on a CPU."""
    try:
        torch.nn.functional.conv2d(torch.zeros(1, 1, 3, 3, dtype=dtype), torch.zeros(1, 1, 3, 3, dtype=dtype))
    except RuntimeError:
        pytest.skip(f'torch {torch.__version__} has no convolution in {dtype} on CPUs, 2.14 has')


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


def run_script(*command, cwd: Path) -> str:
    """Run a Python script without a GPU, which has to succeed; returns all that it printed."""
    result = Fork(*command, cwd=cwd).end(timeout=600)
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout + result.stderr


def make_digits(folder: Path, train: int, val: int, *options: object, out: str = 'digits') -> None:
    """Write scenes of digits of 64 x 64 pixels into a folder, with annotations of COCO's format."""
    tool = ROOT / 'tools' / 'dataset_converters' / 'digits_to_coco.py'
    run_here(tool, '--out', out, '--train', train, '--val', val, '--size', 64, *options, cwd=folder)


def make_parts(folder: Path, count: int, out: str = 'mine', layout: str = 'coco', seed: int = 0) -> None:
    """Write images of washers, nuts and bolts into a folder, with annotations of one of the formats."""
    tool = ROOT / 'tools' / 'dataset_converters' / 'make_parts.py'
    run_here(tool, '--format', layout, '--count', count, '--out', out, '--seed', seed, cwd=folder)


def last_line(script: str | Path, *arguments, cwd: Path) -> str:
    """The last line that a script of ``tools/``, or an absolute path, ends with, which has to fail."""
    return refusal(script, *arguments, cwd=cwd).splitlines()[-1]


def refusal(script: str | Path, *arguments, cwd: Path) -> str:
    """What a script of ``tools/``, or an absolute path, ends with that has to fail; runs in this process."""
    path, printed = ROOT / 'tools' / script, io.StringIO()
    with (
        called_as(path, *arguments, cwd=cwd),
        redirect_stderr(printed),
        redirect_stdout(io.StringIO()),
        pytest.raises(SystemExit) as ended,
    ):
        runpy.run_path(str(path), run_name='__main__')
    logging.disable(logging.NOTSET)  # as export_onnx.py leaves it
    assert isinstance(ended.value.code, str), f'{script} ended with {ended.value.code}: {printed.getvalue()[-2000:]}'
    return ended.value.code


def build_model(settings: dict, scope: str | None = 'mmdet') -> nn.Module:
    """Build a model in the scope of a toolbox."""
    with DefaultScope.overwrite_default_scope(scope):
        return MODELS.build(settings)


def save_untrained(config: Path, checkpoint: Path) -> None:
    """Save a checkpoint of a config's model with random weights, of the classes 0 to 9."""
    torch.manual_seed(0)
    cfg = Config.fromfile(config)
    model = build_model(cfg.model, cfg.default_scope)
    model.init_weights()
    perturb(model, 0.05)
    meta = dict(dataset_meta=dict(classes=tuple('0123456789')))
    torch.save(dict(meta=meta, state_dict=model.state_dict()), checkpoint)


@pytest.fixture(scope='module')
def one_thread():
    """Small networks are faster without a second thread, and much faster where the cores are busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def default_scope_is_left_as_it_was():
    """Runners and inferencers leave theirs behind, in which the next test would look modules up."""
    before = dict(DefaultScope._instance_dict)
    yield
    DefaultScope._instance_dict.clear()
    DefaultScope._instance_dict.update(before)


@pytest.fixture(autouse=True)
def loading_is_left_as_it_was(monkeypatch):
    """Tools that run in this process make all of it read weights-only."""
    for name in (FORCE_WEIGHTS_ONLY, FORCE_NO_WEIGHTS_ONLY):
        monkeypatch.setenv(name, '0')
        monkeypatch.delenv(name)


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


def python(*args, cwd: Path, site: Path) -> subprocess.CompletedProcess:
    """Run a script or ``-c`` with the package of the folder ``site``."""
    env = {**os.environ, 'PYTHONPATH': str(site)}  # before the editable installation
    return subprocess.run([sys.executable, *args], cwd=cwd, env=env, capture_output=True, text=True, check=False)


@pytest.fixture(scope='session')
def site(tmp_path_factory) -> Path:
    """A folder with the package installed from its wheel."""
    folder = tmp_path_factory.mktemp('wheel')
    ignored = shutil.ignore_patterns('.*', 'data', 'work_dirs', 'build', '*.egg-info', '__pycache__')
    shutil.copytree(ROOT, folder / 'source', ignore=ignored)
    pip = [sys.executable, '-m', 'pip', '-q', '--disable-pip-version-check']
    build = ['wheel', '--no-deps', '--no-build-isolation', '-w', folder, folder / 'source']
    subprocess.run([*pip, *build], check=True, capture_output=True)
    (wheel,) = folder.glob('*.whl')
    subprocess.run([*pip, 'install', '--no-deps', '--target', folder / 'site', wheel], check=True, capture_output=True)
    shutil.rmtree(folder / 'source')
    return folder / 'site'


@pytest.fixture
def run_tool(tmp_path):
    """Runs a script of ``tools/`` in a folder outside the repository; returns the finished process."""

    def run(script: str, *args, cwd: Path = tmp_path) -> subprocess.CompletedProcess:
        path = ROOT / 'tools' / script
        if path.suffix == '.py':
            return Fork(path, *args, cwd=cwd).end(timeout=600)
        env = {**os.environ, 'PYTHON': sys.executable, 'CUDA_VISIBLE_DEVICES': ''}
        command = ['bash', str(path), *map(str, args)]
        return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def two_processes(tmp_path):
    """Run a script in two processes with the variables that torchrun sets; both must come to its end."""

    def run(script: str) -> None:
        (tmp_path / 'script.py').write_text(script)
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            group = dict(MASTER_ADDR='127.0.0.1', MASTER_PORT=free.getsockname()[1], WORLD_SIZE=2)
        forks = [Fork(tmp_path / 'script.py', cwd=tmp_path, RANK=rank, LOCAL_RANK=rank, **group) for rank in (0, 1)]
        for result in [fork.end() for fork in forks]:
            assert result.returncode == 0, result.stderr[-2000:]

    return run
