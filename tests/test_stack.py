"""A package that is missing, too old or without compiled operators is named at import."""

import os
import re
import subprocess
import sys
from pathlib import Path

import mmdet
import pytest

from mmspartan import stack
from tests.conftest import ROOT


def import_error(code: str, cwd: Path, **versions: str) -> str:
    """The last line of an import of mmspartan after ``code``, which has to fail; other packages are only versions."""
    for name, version in {**stack.OLDEST, **versions}.items():
        (cwd / f'{name}.py').write_text(f'__version__ = {version!r}\n')
    env = {**os.environ, 'PYTHONPATH': f'{cwd}{os.pathsep}{ROOT}'}
    command = [sys.executable, '-c', f'{code}\nimport mmspartan']
    result = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    return result.stderr.splitlines()[-1]


@pytest.mark.parametrize('name', ['torch', 'mmcv'])
def test_missing_package_is_named_at_import(name, tmp_path):
    message = import_error(f'import sys; sys.modules[{name!r}] = None', tmp_path)
    assert message.startswith(f'ImportError: mmspartan needs {name} ')
    assert 'pip install "mmspartan[openmmlab]"' in message


@pytest.mark.parametrize(('name', 'version', 'oldest'), [('mmcv', '1.7.2', '2.1'), ('mmengine', '0.10.2', '0.10.3')])
def test_version_that_is_too_old_is_named_at_import(name, version, oldest, tmp_path):
    message = import_error('', tmp_path, **{name: version})
    assert message.startswith(f'ImportError: mmspartan needs {name} {oldest} or later, and {version} is installed.')


def test_oldest_versions_are_those_of_the_oldest_tested_stack():
    lines = [(ROOT / 'requirements' / f'{name}.txt').read_text() for name in ('frozen', 'classic')]
    tested = {
        name: stack.release(version) for text in lines for name, version in re.findall(r'^(\w+)==(\S+)', text, re.M)
    }
    for name, oldest in {**stack.OLDEST, **stack.OLDEST_OPTIONAL}.items():
        numbers = stack.release(oldest)
        assert numbers == tested[name][: len(numbers)], name


BACKBONE = """
import mmspartan
from mmengine.registry import MODELS
MODELS.build(dict(type='SpaRTAN', arch='xt'))
print('RTDETR' in MODELS)
"""


def import_backbone(code: str, cwd: Path) -> tuple[bool, str]:
    """Whether RT-DETR is registered after ``code`` and the import, which the backbone has to survive; the warnings."""
    env = {**os.environ, 'PYTHONPATH': f'{cwd}{os.pathsep}{ROOT}'}
    command = [sys.executable, '-c', f'{code}\n{BACKBONE}']
    result = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()[-1] == 'True', result.stderr


def test_optional_packages_that_are_too_old_are_named_in_a_warning(tmp_path):
    (tmp_path / 'mmdet.py').write_text("__version__ = '3.1.0'\n")
    (tmp_path / 'mmpretrain.py').write_text("__version__ = '1.1.1'\n")
    has_rtdetr, warned = import_backbone('', tmp_path)
    assert not has_rtdetr
    assert 'mmdet 3.2 or later is needed, and 3.1.0 is installed, so RT-DETR is not available\n' in warned
    assert (
        'mmpretrain 1.2 or later is needed, and 1.1.1 is installed, so its model hub does not know SpaRTAN\n' in warned
    )


def test_mmcv_without_compiled_operators_is_named_at_import(tmp_path):
    has_rtdetr, warned = import_backbone('import sys; sys.modules["mmcv._ext"] = None', tmp_path)
    assert not has_rtdetr
    assert (
        'mmdet is installed but does not import, so RT-DETR is not available: mmcv is installed without its compiled '
        'operators (mmcv._ext)' in warned
    )


@pytest.mark.skipif(stack.release(mmdet.__version__) > (3, 3, 0), reason='mmdet of OneDL takes any mmcv')
def test_mmcv_that_mmdet_refuses_leaves_the_backbone_and_the_classifiers(tmp_path):
    classifiers = "from mmpretrain import list_models; assert 'spartan_t_in1k' in list_models()"
    code = f'import mmcv; mmcv.__version__ = "2.2.0"; import mmspartan; {classifiers}'
    has_rtdetr, warned = import_backbone(code, tmp_path)
    assert not has_rtdetr
    assert 'mmdet is installed but does not import, so RT-DETR is not available: MMCV==2.2.0 is used' in warned
