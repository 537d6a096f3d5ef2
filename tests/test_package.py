"""The package in other people's hands: its wheel, its configs from outside, and inside their projects."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from modelindex.load_model_index import load as load_model_index
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import mmspartan
from mmspartan.model_hub import WEIGHTS
from mmspartan.stack import release
from tests.conftest import ROOT, python
from tests.requirements.test_make_env import STACKS, load

EXTRAS = ('classification', 'detection', 'hgnetv2', 'compression', 'faster-coco-eval', 'deployment')
# Packages whose version a user's environment depends on, with all distributions that install the same modules.
OF_A_STACK = re.compile(r'torch|torchvision|numpy|opencv-.*|setuptools|mm(engine|cv|det|pretrain)|onedl-.*')


def test_wheel_holds_every_config_and_tool_in_mim(site):
    tracked = subprocess.run(
        ['git', 'ls-files', 'configs', 'tools'], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert tracked
    for name in tracked:
        assert (site / 'mmspartan' / '.mim' / name).read_bytes() == (ROOT / name).read_bytes()
    assert os.access(site / 'mmspartan' / '.mim' / 'tools' / 'dist_train.sh', os.X_OK)


def test_wheel_holds_what_its_model_index_names_and_no_project(site):
    index = load_model_index(str(site / 'mmspartan' / '.mim' / 'model-index.yml'))
    configs = [site / 'mmspartan' / '.mim' / model.config for model in index.models]
    assert configs and all(config.is_file() for config in configs)
    assert not [path for path in site.rglob('*') if path.name in ('projects', 'paper', 'peers', 'ablations')]


def test_wheel_holds_the_weights_of_the_package(site):
    paths = sorted((site / 'mmspartan').rglob('*.safetensors'))
    assert [path.stem for path in paths] == sorted(path.stem for path in WEIGHTS.iterdir())
    assert all(path.read_bytes() == Path(mmspartan.weights(path.stem)).read_bytes() for path in paths)


def test_installation_replaces_nothing_of_a_stack(site):
    """Only the extra for environments without a stack names one of its packages."""
    (path,) = site.glob('mmspartan-*.dist-info/METADATA')
    named = re.findall(r'^Requires-Dist: (?:torch(?!-pruning)|mm|onedl|setuptools).*', path.read_text(), re.MULTILINE)
    assert len(named) == 7 and all(line.replace("'", '"').endswith('extra == "openmmlab"') for line in named), named


def requirements(distribution: metadata.Distribution, *extras: str) -> Iterator[Requirement]:
    """Requirements of a distribution and its extras on this Python."""
    for line in distribution.requires or ():
        found = Requirement(line)
        if found.marker is None or any(found.marker.evaluate(dict(extra=extra)) for extra in ('', *extras)):
            yield found


def pulled_in(distribution: metadata.Distribution, *extras: str) -> Iterator[tuple[str, Requirement]]:
    """What pip installs with a distribution: each requirement with the name of what requires it, as they are installed.

    Of packages that belong to a stack, only the requirement itself.
    """
    seen, found = set(), [(distribution, found) for found in requirements(distribution, *extras)]
    while found:
        by, wanted = found.pop()
        yield by.metadata['Name'], wanted
        if not OF_A_STACK.fullmatch(wanted.name) and (wanted.name, *wanted.extras) not in seen:
            seen.add((wanted.name, *wanted.extras))
            installed = metadata.distribution(wanted.name)
            found += [(installed, further) for further in requirements(installed, *wanted.extras)]


@pytest.mark.parametrize('extra', EXTRAS)
def test_what_an_extra_pulls_in_fits_every_stack(extra, site, monkeypatch):
    """pip would replace a version that a requirement excludes, and lay another OpenCV over the installed one."""
    (wheel,) = map(metadata.PathDistribution, site.glob('mmspartan-*.dist-info'))
    modules = [load(stack, monkeypatch) for stack in STACKS]
    stacks = [m.read_pins() for m in modules if sys.version_info < (3, m.NEWEST_PYTHON[m.STACK] + 1)]
    needed = [(by, wanted) for by, wanted in pulled_in(wheel, extra) if OF_A_STACK.fullmatch(wanted.name)]
    assert needed  # numpy, if nothing else
    for by, wanted in needed:
        for pins in stacks:
            version = Requirement(pins[wanted.name]).specifier
            assert wanted.specifier.contains(str(version).removeprefix('==')), f'{by} requires {wanted}, not {version}'


def test_extras_are_all_those_of_the_package(site):
    (wheel,) = map(metadata.PathDistribution, site.glob('mmspartan-*.dist-info'))
    assert set(wheel.metadata.get_all('Provides-Extra')) == {*EXTRAS, 'openmmlab'}


@pytest.mark.skipif(release(metadata.version('sahi')) < (0, 12), reason='sahi 0.11 imports what only it requires')
def test_sahi_uses_only_what_mmdetection_requires():
    """So ``pip install --no-deps sahi`` is enough, which replaces nothing."""
    code = 'import sys; before = set(sys.modules); import sahi.slicing; print(*set(sys.modules) - before)'
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    owners = metadata.packages_distributions()
    fork = not list(metadata.distributions(name='mmdet'))
    mmdet, mmcv = map(metadata.distribution, ('onedl-mmdetection', 'onedl-mmcv') if fork else ('mmdet', 'mmcv'))
    given = {canonicalize_name(wanted.name) for one in (mmdet, mmcv) for wanted in requirements(one)}
    given |= {'opencv-python', 'sahi'}  # the first is mmengine's
    used = {name.partition('.')[0] for name in result.stdout.split()}
    alone = [name for name in used if name in owners and not {*map(canonicalize_name, owners[name])} & given]
    assert 'sahi' in used and alone == []


def test_backbone_and_configs_of_the_wheel_are_found_outside_the_repository_without_mmdet(site, tmp_path):
    code = (
        'import sys; sys.modules.update(mmdet=None, mmpretrain=None, sklearn=None)\n'
        'import mmspartan; from mmengine.config import Config; from mmengine.registry import MODELS\n'
        'path = mmspartan.config_path("spartan_t_in1k"); arch = Config.fromfile(path).model.backbone.arch\n'
        'MODELS.build(dict(type="SpaRTAN", arch="xt"))\n'
        'print(path, arch, "RTDETR" in MODELS)'
    )
    result = python('-c', code, cwd=tmp_path, site=site)
    expected = [f'{site}/mmspartan/.mim/configs/spartan_t_in1k.py', 't', 'False']
    assert result.stdout.splitlines()[-1].split() == expected, result.stderr


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('spartan_s_in1k', r"no config 'spartan_s_in1k'; .*spartan_t_in1k"),  # the known ones
        ('x' * 300, 'no config'),  # longer than names of files
        ('peers/pvt_t_in1k', r'^peers/pvt_t_in1k: not in the package, but in projects/paper/configs/'),
    ],
)
def test_unknown_config_is_told_what_there_is(name, message):
    with pytest.raises(FileNotFoundError, match=message):
        mmspartan.config_path(name)
