"""Our classifiers by name in mmpretrain: ``list_models``, ``get_model``, ``ImageClassificationInferencer``."""

import warnings
from importlib.util import find_spec
from pathlib import Path

from .configs import config_path


def register_models() -> None:
    """Tell mmpretrain, if it is installed, the models of ``configs/metafile_classification.yml``."""
    if find_spec('mmpretrain') is None:
        return
    try:
        from mmpretrain.apis.model import ModelHub
    except Exception as error:  # mmpretrain asserts versions and imports much; a detector does not depend on it
        warnings.warn(f'mmpretrain is installed but does not import, so it has no SpaRTAN: {error}', stacklevel=2)
        return
    if not ModelHub.has('spartan_t_in1k'):
        configs = Path(config_path('spartan_t_in1k')).parent
        ModelHub.register_model_index(configs / 'metafile_classification.yml', config_prefix=configs.parent)
