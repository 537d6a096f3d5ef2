"""Regional compilation: blocks that repeat are compiled one by one, by ``nn.Module.compile``, and not the whole step.

Blocks of one kind share their compiled code, so this takes seconds where mmengine's ``compile = True``, which compiles
``train_step``, takes minutes, and again for each number of objects. Names of weights stay: compiled and eager trainings
have the same checkpoints.
"""

import os
import shutil
from collections import Counter
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from ..stack import release

# Kinds, sizes, modes and precisions of one class of regions; PyTorch's limit is 8.
MOST_VARIANTS = 64
NEEDS = (2, 6)  # version of torch


def regions(model: nn.Module) -> list[nn.Module]:
    """Return the modules to compile: the outermost that say ``is_region``, but for blocks that are computed again.

    A block below a module with ``with_cp`` is computed again in the backward pass, with other settings of its
    normalizations: compiled, its two passes would not agree.
    """
    recomputed = {
        id(block) for module in model.modules() if getattr(module, 'with_cp', False) for block in module.modules()
    }
    found = [module for module in model.modules() if getattr(module, 'is_region', False)]
    inner = {id(block) for module in found for block in module.modules() if block is not module}
    return [module for module in found if id(module) not in recomputed | inner]


def compile_regions(model: nn.Module, **options: Any) -> Counter[str]:
    """Compile the regions of a model, which may be wrapped, in place; return how many modules of each class.

    ``options`` are those of ``torch.compile``. By default a second size of the images is compiled with dynamic height
    and width, and further sizes are not compiled.
    """
    config: Any = torch._dynamo.config
    name = 'recompile_limit' if hasattr(config, 'recompile_limit') else 'cache_size_limit'
    setattr(config, name, max(getattr(config, name), MOST_VARIANTS))
    found = regions(model)
    for module in found:
        module.compile(**options)
    return Counter(type(module).__name__ for module in found)


def reason_against() -> str:
    """Return why regions cannot be compiled for a GPU here; '' if they can."""
    if torch.are_deterministic_algorithms_enabled():
        return 'randomness.deterministic is set, and compiled code rounds as the sizes seen before say'
    if release(torch.__version__) < NEEDS:
        return f'torch {torch.__version__} is older than {".".join(map(str, NEEDS))}'
    if find_spec('triton') is None:
        return 'Triton is not installed'
    if not any(map(shutil.which, (os.environ.get('CC', 'cc'), 'gcc', 'clang'))):
        return 'there is no C compiler, which Triton needs'
    return ''
