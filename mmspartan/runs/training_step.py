"""Training steps of a config without a Runner, to measure their memory and time."""

from collections.abc import Callable, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope


def fix_size(model: Any, choose: Callable[[Sequence[int]], int]) -> None:
    """Let ``choose`` choose one of the heights of a multi-scale training, which is then used in all steps."""
    for module in model.modules():
        if hasattr(module, 'sizes') and hasattr(module, 'choose'):  # BatchRandomChoiceResize
            module.sizes = (choose(module.sizes),)


class TrainingStep:
    """Calls ``model.train_step`` with the optimizer of a config and its model, built with random weights."""

    def __init__(self, cfg: Config, device: str, choose: Callable[[Sequence[int]], int]):
        init_default_scope(cfg.get('default_scope') or 'mmengine')
        self.model: Any = MODELS.build(cfg.model).to(device).train()
        fix_size(self.model, choose)
        self.optim_wrapper = build_optim_wrapper(self.model, cfg.optim_wrapper)

    def __call__(self, batch: dict) -> None:
        self.model.train_step(batch, self.optim_wrapper)
