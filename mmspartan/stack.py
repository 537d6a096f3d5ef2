"""Detection of the optional packages of the OpenMMLab stack."""

import warnings
from functools import cache
from importlib import import_module
from importlib.util import find_spec


@cache
def has_mmdet() -> bool:
    """Whether mmdet can be imported, which RT-DETR needs."""
    return _imports(
        'mmdet',
        ('mmdet.models', 'mmdet.datasets', 'mmdet.evaluation', 'mmdet.visualization'),
        'RT-DETR is not available',
    )


@cache
def has_mmpretrain() -> bool:
    """Whether mmpretrain can be imported, whose model hub lists the classifiers."""
    return _imports('mmpretrain', ('mmpretrain.apis',), 'its model hub does not know SpaRTAN')


def _imports(package: str, modules: tuple[str, ...], consequence: str) -> bool:
    if find_spec(package) is None:
        return False
    try:
        for module in modules:
            import_module(module)
    except Exception as error:  # these packages assert on the versions of each other
        warnings.warn(f'{package} is installed but does not import, so {consequence}: {error}', stacklevel=3)
        return False
    return True
