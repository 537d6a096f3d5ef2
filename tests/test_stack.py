"""A package that is missing, too old or without compiled operators is named at import."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


def import_error(code: str, cwd: Path) -> str:
    """The last line of an import of mmspartan after ``code``, which has to fail."""
    env = {**os.environ, 'PYTHONPATH': f'{cwd}{os.pathsep}{ROOT}'}
    command = [sys.executable, '-c', f'{code}\nimport mmspartan']
    result = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    return result.stderr.splitlines()[-1]


@pytest.mark.parametrize('name', ['torch', 'torchvision', 'mmengine', 'mmcv'])
def test_missing_package_is_named_at_import(name, tmp_path):
    message = import_error(f'import sys; sys.modules[{name!r}] = None', tmp_path)
    assert message.startswith(f'ImportError: mmspartan needs {name} ')
    assert 'pip install "mmspartan[openmmlab]"' in message


def test_version_that_is_too_old_is_named_at_import(tmp_path):
    (tmp_path / 'mmcv.py').write_text("__version__ = '1.7.2'\n")
    message = import_error('', tmp_path)
    assert message.startswith('ImportError: mmspartan needs mmcv 2.1 or later, and 1.7.2 is installed.')


def test_mmcv_without_compiled_operators_is_named_at_import(tmp_path):
    code = (
        'import sys; sys.modules["mmcv._ext"] = None\n'
        'import mmspartan; from mmengine.registry import MODELS; MODELS.build(dict(type="SpaRTAN", arch="xt"))\n'
        'print("RTDETR" in MODELS)'
    )
    env = {**os.environ, 'PYTHONPATH': str(ROOT)}
    command = [sys.executable, '-c', code]
    result = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert result.stdout.strip() == 'False', result.stderr  # the backbone needs no operators
    assert (
        'mmdet is installed but does not import, so RT-DETR is not available: mmcv is installed without its compiled '
        'operators (mmcv._ext)' in result.stderr
    )
