"""The packages that this one builds on, found by importing them, since forks install the same modules by other names.

Importing this module raises an ImportError in one line if one of them is missing or too old.
"""

import re
import warnings
from functools import cache
from importlib import import_module
from importlib.util import find_spec

# The oldest versions that are tested, see docs/versions.md.
OLDEST = dict(torch='2.1', torchvision='0.16', mmengine='0.10.3', mmcv='2.1')
OLDEST_OPTIONAL = dict(mmdet='3.2', mmpretrain='1.2')
ADVICE = 'pip install "mmspartan[openmmlab]" installs all of them in an environment that has none'


def require_stack() -> None:
    """Import the packages that all of this package needs.

    Raises:
        ImportError: If one does not import or is too old. The message is one line that names it.
    """
    for name, oldest in OLDEST.items():
        try:
            version = import_module(name).__version__
        except Exception as error:  # these packages assert on the versions of each other
            raise ImportError(f'mmspartan needs {name} {oldest} or later: {reason(error)}. {ADVICE}') from error
        if release(version) < release(oldest):
            raise ImportError(f'mmspartan needs {name} {oldest} or later, and {version} is installed. {ADVICE}')


def release(version: str) -> tuple[int, ...]:
    """The first three numbers of a version."""
    return tuple(int(number) for number in re.findall(r'\d+', version)[:3])


def reason(error: Exception) -> str:
    """Why a package does not import, in one line."""
    missing = getattr(error, 'name', None) or ''
    if missing == 'mmcv._ext':
        return (
            'mmcv is installed without its compiled operators (mmcv._ext), as pip builds it without '
            '--no-build-isolation; see "mmcv" in docs/get-started.md'
        )
    if 'mmcv' in str(getattr(error, 'path', None) or '') and '_ext' in str(error):
        return f"mmcv's compiled operators were built for another torch: {' '.join(str(error).split())}"
    return ' '.join(str(error).split()) or type(error).__name__


@cache
def has_mmdet() -> bool:
    """Whether mmdet can be imported, which RT-DETR needs."""
    return _imports(
        'mmdet',
        ('mmcv.ops', 'mmdet.models', 'mmdet.datasets', 'mmdet.evaluation', 'mmdet.visualization'),
        'RT-DETR is not available',
    )


@cache
def has_mmpretrain() -> bool:
    """Whether mmpretrain can be imported, whose model hub lists the classifiers."""
    return _imports('mmpretrain', ('mmpretrain.apis',), 'its model hub does not know SpaRTAN')


def _imports(package: str, modules: tuple[str, ...], consequence: str) -> bool:
    if find_spec(package) is None:
        return False
    oldest = OLDEST_OPTIONAL[package]
    try:
        version = import_module(package).__version__
        if release(version) < release(oldest):
            message = f'{package} {oldest} or later is needed, and {version} is installed, so {consequence}'
            warnings.warn(message, stacklevel=3)
            return False
        for module in modules:
            import_module(module)
    except Exception as error:  # these packages assert on the versions of each other
        message = f'{package} is installed but does not import, so {consequence}: {reason(error)}'
        warnings.warn(message, stacklevel=3)
        return False
    return True


require_stack()
