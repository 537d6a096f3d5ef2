"""SpaRTAN for OpenMMLab. Importing registers modules and the names of models, and does nothing else."""

from . import datasets, engine  # noqa: F401 - register
from .configs import config_path
from .model_hub import register_models
from .models import SpaRTAN
from .version import __version__

register_models()

__all__ = ['SpaRTAN', '__version__', 'config_path']
