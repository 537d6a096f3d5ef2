"""Which optional parts of the OpenMMLab stack there are."""

import warnings
from functools import cache
from importlib import import_module
from importlib.util import find_spec


@cache
def has_mmdet() -> bool:
    """Whether RT-DETR can be built."""
    return _imports(
        'mmdet',
        ('mmdet.models', 'mmdet.datasets', 'mmdet.evaluation', 'mmdet.visualization'),
        'RT-DETR is not available',
    )


@cache
def has_mmpretrain() -> bool:
    """Whether the classifiers can be registered by name."""
    return _imports('mmpretrain', ('mmpretrain.apis',), 'its model hub does not know SpaRTAN')


def _imports(package: str, modules: tuple[str, ...], consequence: str) -> bool:
    if find_spec(package) is None:
        return False
    try:
        for module in modules:
            import_module(module)
    except Exception as error:  # these packages assert on versions of each other
        warnings.warn(f'{package} is installed but does not import, so {consequence}: {error}', stacklevel=3)
        return False
    return True
