"""A config's model with the weights of a checkpoint."""

from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from ..engine.checkpoint import check_weights_fit, read_checkpoint
from ..engine.class_names import classes_of


def load_model(cfg: Config, checkpoint: str) -> nn.Module:
    """The config's model in evaluation mode with the weights of a checkpoint.

    Its ``dataset_meta`` is what the checkpoint says of the data it was trained on, if anything.

    Raises:
        ValueError: If the checkpoint does not fit the model.
    """
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    settings = cfg.model.to_dict()
    if cfg.get('data_preprocessor') is not None:  # as mmengine's Runner, which takes it from beside the model as well
        settings.setdefault('data_preprocessor', cfg.data_preprocessor.to_dict())
    model = MODELS.build(settings).eval()
    weights = read_checkpoint(checkpoint)
    check_weights_fit(model, weights, checkpoint)
    classes = classes_of(weights)
    model.dataset_meta = dict(classes=tuple(classes)) if classes else {}
    weights = weights.get('state_dict', weights)
    model.load_state_dict({key.removeprefix('module.'): value for key, value in weights.items()}, strict=False)
    return model
