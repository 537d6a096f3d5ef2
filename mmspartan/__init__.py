"""SpaRTAN for the OpenMMLab stack. Importing registers the modules and makes mmengine's checkpoints loadable."""

from .configs import config_path
from .engine import allow_mmengine_checkpoints
from .models import SpaRTAN
from .version import __version__

allow_mmengine_checkpoints()

__all__ = ['SpaRTAN', '__version__', 'config_path']
