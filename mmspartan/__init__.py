"""SpaRTAN and RT-DETR for OpenMMLab. The import registers modules and model names, and has no other effect."""

from contextlib import suppress
from typing import Any

# first: it says in one line if torch, mmengine or mmcv is missing or too old
from .stack import has_mmdet, has_mmpretrain

# isort: split
from . import checkpoints, datasets, deploy, runs  # noqa: F401 - register
from .configs import config_path, list_configs
from .model_hub import get_model, register_models, weights
from .own_data import own_data
from .spartan import SpaRTAN
from .version import __version__

if has_mmdet():
    from . import deimv2, dfine, rtdetr  # noqa: F401 - register
    from .datasets import centered_affine, coco, mosaic  # noqa: F401 - register
    from .evaluation import coco_metric, faster_coco_metric  # noqa: F401 - register
    from .runs.hooks import final_stage_hook, foreach_ema, stage_hook  # noqa: F401 - register
    from .visualization import legible_visualizer  # noqa: F401 - registers

if has_mmpretrain():
    with suppress(AssertionError):  # of an mmdet that refuses mmcv; mmpretrain builds no classifier then
        from .visualization import classification_hook  # noqa: F401 - registers

register_models()

__all__ = ['Detector', 'SpaRTAN', '__version__', 'config_path', 'get_model', 'list_configs', 'own_data', 'weights']


def __getattr__(name: str) -> Any:
    if name == 'Detector':  # on demand: mmdet's inferencers take a second to import
        from .inference import Detector

        return Detector
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
