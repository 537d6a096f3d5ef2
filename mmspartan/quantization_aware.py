"""Quantization of a trained network for a training that is aware of it: what ``tools/compress.py quantize`` does.

The network is folded first, so that what is rounded in training is what the INT8 file has: without batch normalization,
with the branches of an SMixer or of RepVGG joined. The simulation is :mod:`mmspartan.nn.fake_quant`.
"""

import re
from collections.abc import Iterable
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from torch import nn

from .configs import type_name
from .deploy.tasks import task_of_model
from .errors import InputError
from .nn.fake_quant import observe
from .runs.optim_wrapper_constructor import tagged_parameters


def folded_form(model: nn.Module) -> dict[str, Any]:
    """Return the options of the model's config that build it folded for inference.

    Raises:
        InputError: If it has none.
    """
    if task_of_model(model).name == 'detector':
        return dict(deploy=True)
    if hasattr(getattr(model, 'backbone', None), 'switch_to_deploy'):
        return dict(backbone=dict(deploy=True))
    raise InputError(f'{type(model).__name__}: its backbone cannot be folded for inference, which this needs')


@torch.no_grad()
def calibrate(model: Any, images: Iterable[dict]) -> None:
    """Let the quantizers of a model in evaluation mode find the ranges of their inputs, then round.

    Args:
        model (BaseModel): With quantizers, see :func:`~mmspartan.nn.fake_quant.insert_quantizers`.
        images (Iterable[dict]): Samples of a dataset, as the test pipeline gives them.

    Raises:
        InputError: If a module is not called. The message names it.
    """
    observe(model, True)
    for data in images:
        model(**model.data_preprocessor(pseudo_collate([data]), training=False), mode='predict')
    observe(model, False)
    unseen = [name for name, value in model.named_buffers() if name.endswith('min_val') and value.isinf().any()]
    if unseen:
        module = unseen[0].removesuffix('.input_quantizer.activation_post_process.min_val')
        raise InputError(f'{module}: was not called in a prediction; leave it in floating point by --keep')


def fine_tuning(cfg: Config, model: nn.Module, hook: dict[str, Any], epochs: int) -> dict[str, Any]:
    """Return the settings of a short training with quantizers: the last stage of the config's own, without averaging.

    Args:
        cfg (Config): Of the trained network.
        model (nn.Module): The folded network.
        hook (dict): Config of the ``FakeQuantHook``.
        epochs (int): Number of epochs.
    """
    settings = lower_rate(cfg, 0.05)
    rules = cfg.get('optim_wrapper', {}).get('paramwise_cfg', {}).get('rules')
    if rules:  # not those of layers that were folded
        names = [name for name, _ in tagged_parameters(model)]
        rules = [rule.to_dict() for rule in rules if any(re.search(rule.pattern, name) for name in names)]
        settings.setdefault('optim_wrapper', {})['paramwise_cfg'] = dict(rules=rules)
    hooks = [
        last_stage(dict(each), epochs) for each in cfg.get('custom_hooks') or () if 'EMA' not in type_name(each['type'])
    ]
    return dict(
        **settings,
        train_cfg=dict(_delete_=True, by_epoch=True, max_epochs=epochs, val_interval=1),
        param_scheduler=[dict(type='CosineAnnealingLR', T_max=epochs, eta_min_ratio=0.1, convert_to_iter_based=True)],
        custom_hooks=[hook, *hooks],
    )


def lower_rate(cfg: Config, share: float) -> dict[str, Any]:
    """Return the setting of a share of the config's learning rate."""
    rate = cfg.get('optim_wrapper', {}).get('optimizer', {}).get('lr')
    return dict(optim_wrapper=dict(optimizer=dict(lr=float(f'{rate * share:g}')))) if rate else {}


def last_stage(hook: dict[str, Any], epochs: int) -> dict[str, Any]:
    """Return the config of a hook for a training of the last stage alone, of several with their own augmentation."""
    kind = type_name(hook['type'])
    if kind == 'SwitchRecipeHook':
        hook['schedule'] = [dict(hook['schedule'][-1], action_epoch=1)]
    elif kind == 'StageHook':
        hook.update(switch_epochs=[0], stages=[dict(hook['stages'][-1], from_best=False)])
    elif kind == 'FinalStageHook':
        hook.update(final_epochs=epochs, from_best=False)
    elif kind == 'PipelineSwitchHook':
        hook['switch_epoch'] = 0
    return hook
