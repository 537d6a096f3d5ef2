"""Loading of a config's model with the weights of a checkpoint."""

from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from ..checkpoints.checkpoint import check_weights_fit, read_checkpoint
from ..checkpoints.class_names import classes_of


def load_model(cfg: Config, checkpoint: str) -> nn.Module:
    """Build the config's model in evaluation mode and load the weights of a checkpoint.

    The model's ``dataset_meta`` holds the class names of the checkpoint; it is empty if the checkpoint has none.

    Raises:
        ValueError: If the weights do not fit the model.
    """
    init_default_scope(cfg.get('default_scope') or 'mmengine')
    settings = cfg.model.to_dict()
    if cfg.get('data_preprocessor') is not None:  # mmengine's Runner also reads it from the top level
        settings.setdefault('data_preprocessor', cfg.data_preprocessor.to_dict())
    model = MODELS.build(settings).eval()
    weights = read_checkpoint(checkpoint)
    check_weights_fit(model, weights, checkpoint)
    classes = classes_of(weights)
    model.dataset_meta = dict(classes=tuple(classes)) if classes else {}
    weights = weights.get('state_dict', weights)
    model.load_state_dict({key.removeprefix('module.'): value for key, value in weights.items()}, strict=False)
    return model
