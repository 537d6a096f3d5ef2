"""Our classifiers by name in mmpretrain: ``list_models``, ``get_model``, ``ImageClassificationInferencer``."""

from pathlib import Path

from .configs import config_path
from .stack import has_mmpretrain


def register_models() -> None:
    """Tell mmpretrain, if it is installed, the models of ``configs/metafile_classification.yml``."""
    if not has_mmpretrain():
        return
    from mmpretrain.apis.model import ModelHub

    if not ModelHub.has('spartan_t_in1k'):
        configs = Path(config_path('spartan_t_in1k')).parent
        ModelHub.register_model_index(configs / 'metafile_classification.yml', config_prefix=configs.parent)
