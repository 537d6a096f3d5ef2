"""Parameter groups by regular expressions, as in the authors' RT-DETR code."""

import re
from collections.abc import Iterator
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIMIZERS
from torch import nn
from torch.nn import GroupNorm, LayerNorm
from torch.nn.modules.batchnorm import _NormBase

from ..errors import InputError
from ..nn.rms_norm import RMSNorm


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class RegexOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Sets learning rate and weight decay by the first rule whose pattern matches a parameter's name.

    mmengine's ``custom_keys`` cannot select the normalization layers of the backbone. Parameters with the same values
    form one group.

    ``paramwise_cfg`` holds ``rules``, a list of dicts with ``pattern`` (str), ``lr_mult`` and ``decay_mult`` (float, 1
    by default). For the match, ``[norm]`` is appended to the names of the parameters of normalization layers.

    An optimizer with ``fused=True`` is built without it where torch has no fused form, as before torch 2.4 on CPUs.

    Raises:
        ValueError: If a pattern matches no parameter.
        InputError: If ``paramwise_cfg`` or a rule has other keys, or the optimizer is not registered.
    """

    optimizer_cfg: dict[str, Any]

    def _validate_cfg(self) -> None:
        super()._validate_cfg()
        if self.paramwise_cfg:  # without it all parameters are one group
            check_keys('paramwise_cfg', self.paramwise_cfg, {'rules'})
        for i, rule in enumerate(self.paramwise_cfg.get('rules', ())):
            check_keys(f'paramwise_cfg.rules.{i}', rule, {'pattern'}, {'lr_mult', 'decay_mult'})

    def __call__(self, model: nn.Module) -> OptimWrapper:
        kind = self.optimizer_cfg.get('type')
        if isinstance(kind, str) and OPTIMIZERS.get(kind) is None:
            entry = 'optim_wrapper.optimizer.type'
            raise InputError(f'{entry}: {kind!r} is no registered optimizer', entry=entry)
        if self.base_lr is None and self.paramwise_cfg:
            raise InputError('optim_wrapper.optimizer.lr: is missing', entry='optim_wrapper.optimizer.lr')
        if self.optimizer_cfg.get('fused') and not fuses(model):
            print_log(f'torch {torch.__version__} has no fused optimizers for this device: fused=False', 'current')
            self.optimizer_cfg = {**self.optimizer_cfg, 'fused': False}
        return super().__call__(model)

    def add_params(self, params: list[dict], module: nn.Module, **kwargs) -> None:
        rules = self.paramwise_cfg['rules']
        unused = {rule['pattern'] for rule in rules}
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in tagged_parameters(module):
            rule: dict[str, Any] = next((rule for rule in rules if re.search(rule['pattern'], name)), {})
            unused.discard(rule.get('pattern'))
            if parameter.requires_grad:
                groups.setdefault((rule.get('lr_mult', 1.0), rule.get('decay_mult', 1.0)), []).append(parameter)
        if unused:
            raise ValueError(f'paramwise_cfg.rules: no parameter matches {sorted(unused)}')
        for (lr_mult, decay_mult), parameters in groups.items():
            params.append(
                dict(params=parameters, lr=self.base_lr * lr_mult, weight_decay=(self.base_wd or 0.0) * decay_mult)
            )


def check_keys(name: str, found: dict[str, Any], needed: set[str], optional: set[str] = set()) -> None:
    """Raise InputError unless a dict of the optimizer's config has the needed keys, and no others than known ones."""
    if not needed <= found.keys() <= needed | optional:
        raise InputError(
            f'optim_wrapper.{name}: has the keys {sorted(found)}, must have {sorted(needed | optional)}; those of '
            "mmengine need optim_wrapper.constructor='DefaultOptimWrapperConstructor'",
            entry=f'optim_wrapper.{name}',
        )


def fuses(model: nn.Module) -> bool:
    """Whether torch has fused optimizers for the device of a model's parameters."""
    parameter = next(model.parameters())
    try:
        torch.optim.AdamW([nn.Parameter(torch.zeros(1, device=parameter.device))], fused=True)
    except RuntimeError:
        return False
    return True


def tagged_parameters(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Iterate over a module's parameters and their names, with ``[norm]`` appended in normalization layers."""
    for prefix, child in module.named_modules():
        tag = '[norm]' if isinstance(child, _NormBase | GroupNorm | LayerNorm | RMSNorm) else ''
        for name, parameter in child.named_parameters(recurse=False):
            yield f'{prefix}.{name}{tag}'.lstrip('.'), parameter
