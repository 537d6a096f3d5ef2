"""Folding: what is constant at inference is computed once, by rules for types of modules."""

import copy
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn

Module = TypeVar('Module', bound=nn.Module)
Rule = Callable[[Any], nn.Module]

# The rule of a type, not of its subclasses: their forward pass may be another one.
RULES: dict[type[nn.Module], Rule] = {}


def rule(*types: type[nn.Module]) -> Callable[[Rule], Rule]:
    """Register the rule of some types of modules.

    A rule takes a module in evaluation mode, whose children are folded already, and returns its folded form, or the
    module itself where there is nothing to fold. It changes neither the module nor its parameters: see
    :func:`changed_copy`.
    """

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(types, function))
        return function

    return register


def deploy(model: nn.Module) -> nn.Module:
    """A folded copy of a model in evaluation mode, which shares nothing with it.

    Raises:
        RuntimeError: In training mode.
    """
    return fold(copy.deepcopy(model))


def fold_in_place(model: nn.Module) -> None:
    """Replace the parts of a model by their folded forms. There is no way back but to build the model anew.

    Raises:
        RuntimeError: In training mode.
    """
    folded = fold(model)
    if type(folded) is not type(model):
        raise TypeError(f'{type(model).__name__} becomes a {type(folded).__name__}: use deploy(model)')
    model.__dict__.update(folded.__dict__)


@torch.no_grad()
def fold(module: nn.Module) -> nn.Module:
    """The folded form of a module in evaluation mode, which stays as it is.

    Parts without a rule, and parts that a rule leaves as they are, belong to both.

    Raises:
        RuntimeError: In training mode, where outputs depend on the batch and weights have yet to change.
    """
    if module.training or any(part.training for part in module.modules() if type(part) in RULES):
        raise RuntimeError(
            f'{type(module).__name__}.switch_to_deploy: call eval() first. The way back is to build the model anew and '
            'load the checkpoint that was trained.'
        )
    return _fold(module, {})


def _fold(module: nn.Module, folded: dict[nn.Module, nn.Module]) -> nn.Module:
    if module not in folded:  # one module may stand in several places
        children = {name: _fold(child, folded) for name, child in module._modules.items() if child is not None}
        replaced = {name: child for name, child in children.items() if child is not module._modules[name]}
        changed = changed_copy(module, **replaced) if replaced else module
        folded[module] = RULES[type(module)](changed) if type(module) in RULES else changed
    return folded[module]


def changed_copy(module: Module, **attributes: Any) -> Module:
    """A module with other attributes; parameters, buffers and children that are not among these belong to both."""
    changed = copy.copy(module)
    for name in ('_parameters', '_buffers', '_modules'):
        changed.__dict__[name] = dict(module.__dict__[name])
    for name, value in attributes.items():
        setattr(changed, name, value)
    return changed


def constant(value: torch.Tensor) -> nn.Parameter:
    """A parameter of its own memory that is not trained."""
    return nn.Parameter(value.detach().clone(), requires_grad=False)


def conv_of(weight: torch.Tensor, bias: torch.Tensor | None = None) -> nn.Conv2d:
    """The convolution of a kernel ``(out, in / groups, k, k)`` that keeps the size.

    A kernel of one input, if larger than 1x1, is depthwise; any other has one group.
    """
    channels, inputs, size, _ = weight.shape
    groups = channels if inputs == 1 and size > 1 else 1
    conv = nn.Conv2d(inputs * groups, channels, size, padding=size // 2, groups=groups, bias=False, device='meta')
    conv.weight = constant(weight)
    conv.bias = None if bias is None else constant(bias)
    return conv.eval()
