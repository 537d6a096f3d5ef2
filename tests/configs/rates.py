"""What a config's optimizer does to the parameters of its network."""

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS

from mmspartan.runs.optim_wrapper_constructor import tagged_parameters


def rates_and_decays(cfg: Config) -> dict[str, tuple[float, float] | None]:
    """Return learning rate and weight decay of each parameter by its tagged name, None for frozen ones."""
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    values = {id(p): (group['lr'], group['weight_decay']) for group in optimizer.param_groups for p in group['params']}
    found = {key: values.get(id(parameter)) for key, parameter in tagged_parameters(model)}
    assert all((found[key] is None) != parameter.requires_grad for key, parameter in tagged_parameters(model))
    return found
