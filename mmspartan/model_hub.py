"""Names of this package's classifiers in mmpretrain's ``list_models``, ``get_model`` and inferencer."""

from pathlib import Path

from .configs import config_path
from .stack import has_mmpretrain


def register_models() -> None:
    """Register the models of ``configs/metafile_classification.yml`` in mmpretrain, if it is installed."""
    if not has_mmpretrain():
        return
    from mmpretrain.apis.model import ModelHub

    if not ModelHub.has('spartan_t_in1k'):
        configs = Path(config_path('spartan_t_in1k')).parent
        ModelHub.register_model_index(configs / 'metafile_classification.yml', config_prefix=configs.parent)
