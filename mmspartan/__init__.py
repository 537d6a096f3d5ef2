"""SpaRTAN and RT-DETR for OpenMMLab. The import registers modules and model names, and has no other effect."""

from .stack import has_mmdet  # first: it says in one line if torch, mmengine or mmcv is missing or too old

# isort: split
from . import datasets, engine  # noqa: F401 - register
from .configs import config_path
from .model_hub import register_models
from .own_data import own_data
from .spartan import SpaRTAN
from .version import __version__

if has_mmdet():
    from . import rtdetr  # noqa: F401 - registers
    from .datasets import coco  # noqa: F401 - registers
    from .engine import final_stage_hook  # noqa: F401 - registers
    from .evaluation import coco_metric, faster_coco_metric  # noqa: F401 - register
    from .visualization import legible_visualizer  # noqa: F401 - registers

register_models()

__all__ = ['SpaRTAN', '__version__', 'config_path', 'own_data']
