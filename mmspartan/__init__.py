"""SpaRTAN for OpenMMLab. Importing registers modules and models, and makes mmengine's checkpoints loadable."""

from .configs import config_path
from .engine import allow_mmengine_checkpoints
from .model_hub import register_models
from .models import SpaRTAN
from .version import __version__

allow_mmengine_checkpoints()
register_models()

__all__ = ['SpaRTAN', '__version__', 'config_path']
