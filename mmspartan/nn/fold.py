"""Folding of operations that are constant at inference, by rules for types of modules."""

import copy
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn

from ..errors import InputError

Module = TypeVar('Module', bound=nn.Module)
Rule = Callable[[Any], nn.Module]

# Rules by exact type. They do not apply to subclasses, whose forward pass may differ, but for those that inherit
# ``switch_to_deploy``.
RULES: dict[type[nn.Module], Rule] = {}


def rule(*types: type[nn.Module]) -> Callable[[Rule], Rule]:
    """Register a rule for types of modules, as a decorator.

    A rule takes a module in evaluation mode whose children are already folded. It returns the folded module, or the
    module itself if there is nothing to fold. It must not change the module or its parameters; see
    :func:`changed_copy`.
    """

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(types, function))
        return function

    return register


def rule_of(module: nn.Module) -> Rule | None:
    """Return the rule that folds a module."""
    for kind in type(module).__mro__:
        if kind in RULES and (kind is type(module) or hasattr(kind, 'switch_to_deploy')):
            return RULES[kind]
    return None


def deploy(model: nn.Module) -> nn.Module:
    """Return a folded copy of a model in evaluation mode, which shares no memory with the model.

    Raises:
        RuntimeError: If the model is in training mode.
        InputError: If the weight of a convolution is computed from others, by pruning or a parametrization.
    """
    model = getattr(model, '_orig_mod', model)  # what torch.compile wraps
    _refuse_computed_weights(model)  # which deepcopy does not copy either
    return fold(copy.deepcopy(model))


def fold_in_place(model: nn.Module) -> None:
    """Fold a model in evaluation mode in place. This cannot be undone.

    Raises:
        RuntimeError: If the model is in training mode.
        TypeError: If the folded model has another type, which :func:`deploy` can return.
    """
    folded = fold(model)
    if type(folded) is not type(model):
        raise TypeError(f'{type(model).__name__} becomes a {type(folded).__name__}: use deploy(model)')
    model.__dict__.update(folded.__dict__)


@torch.no_grad()
def fold(module: nn.Module) -> nn.Module:
    """Return the folded form of a module in evaluation mode, without a change to the module.

    The result shares all submodules that are not folded with the module. Hooks of submodules that are replaced do not
    run any more.

    Raises:
        RuntimeError: In training mode, where outputs depend on the batch and weights still change.
        InputError: If the weight of a convolution is computed from others, by pruning or a parametrization.
    """
    _refuse_computed_weights(module)
    if module.training or any(child.training for child in module.modules() if rule_of(child)):
        raise RuntimeError(
            f'{type(module).__name__}.switch_to_deploy: call eval() first. Folding cannot be undone: to train, build '
            'the model again and load the trained checkpoint.'
        )
    return _fold(module, {})


def _refuse_computed_weights(module: nn.Module) -> None:
    for name, child in module.named_modules():
        if isinstance(child, nn.Conv2d) and 'weight' not in child._parameters:
            raise InputError(
                f'{name}: its weight is computed from other parameters; make it permanent first, for instance by '
                'torch.nn.utils.prune.remove or torch.nn.utils.parametrize.remove_parametrizations'
            )


def _fold(module: nn.Module, folded: dict[nn.Module, nn.Module]) -> nn.Module:
    if module not in folded:  # a module may be used several times
        children = {name: _fold(child, folded) for name, child in module._modules.items() if child is not None}
        replaced = {name: child for name, child in children.items() if child is not module._modules[name]}
        changed = changed_copy(module, **replaced) if replaced else module
        rule_of_module = rule_of(module)
        folded[module] = rule_of_module(changed) if rule_of_module else changed
    return folded[module]


def changed_copy(module: Module, **attributes: Any) -> Module:
    """Return a shallow copy of a module with changed attributes, which shares all others with the module."""
    changed = copy.copy(module)
    for name in ('_parameters', '_buffers', '_modules'):
        changed.__dict__[name] = dict(module.__dict__[name])
    for name, value in attributes.items():
        setattr(changed, name, value)
    return changed


def constant(value: torch.Tensor) -> nn.Parameter:
    """Return a copy of a tensor as a parameter."""
    return nn.Parameter(value.detach().clone())


def conv_of(weight: torch.Tensor, bias: torch.Tensor | None = None, groups: int | None = None) -> nn.Conv2d:
    """Return the convolution with a kernel ``(out, in / groups, k, k)`` and an output of the size of its input.

    By default a kernel with one input channel that is larger than 1x1 is depthwise; any other kernel has one group.
    """
    channels, inputs, size, _ = weight.shape
    if groups is None:
        groups = channels if inputs == 1 and size > 1 else 1
    conv = nn.Conv2d(inputs * groups, channels, size, padding=size // 2, groups=groups, bias=False, device='meta')
    conv.weight = constant(weight)
    conv.bias = None if bias is None else constant(bias)
    return conv.eval()
