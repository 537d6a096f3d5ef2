"""The loss on the validation set, beside its metrics: that it rises while the training loss falls shows overfitting."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.dist import all_reduce, get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch import nn

from ...checkpoints.checkpoint import without_wrappers
from ...configs import type_name
from ...datasets.inner import inner_datasets
from ..randomness import seed_from
from .stop_hook import EvaluationStopped, StopOnSignalHook


@HOOKS.register_module()
class ValidationLossHook(Hook):
    """Adds ``val_loss`` to the metrics of each evaluation during training, the mean over the validation set.

    The validation set is read a second time, by its own pipeline in which boxes are loaded before the image is resized.
    Batch statistics are not updated, and dropout and stochastic depth are off. Averaged weights are used if they are
    evaluated. The loss of RT-DETR includes its denoising queries, whose noise is the same in each evaluation.
    """

    priority = 'HIGHEST'  # before the averaged weights are exchanged for the trained ones, and metrics are logged

    def __init__(self) -> None:
        self.loader: Any = None

    def before_train(self, runner: Any) -> None:
        if runner.val_loop is not None:
            cfg = copy.deepcopy(runner.cfg.val_dataloader)
            for _, dataset in inner_datasets(cfg, ''):
                dataset['pipeline'] = with_annotations_first(dataset.get('pipeline') or [])
            self.loader = runner.build_dataloader(cfg, seed=runner.seed)

    @torch.no_grad()
    def after_val_epoch(self, runner: Any, metrics: dict[str, float]) -> None:
        if self.loader is None:  # not a training
            return
        model: Any = without_wrappers(runner.model)
        total = torch.zeros(2, dtype=torch.float64)
        stop = next((hook for hook in runner.hooks if isinstance(hook, StopOnSignalHook)), None)
        with losses_without_effects(model):
            for i, batch in enumerate(self.loader):
                if stop is not None and stop.signal:
                    raise EvaluationStopped
                seed_from(runner.seed, get_rank(), i)
                data = model.data_preprocessor(batch, False)  # without the augmentation of batches
                loss, _ = model.parse_losses(model(**data, mode='loss'))
                count = len(data['data_samples'])
                total += torch.tensor([float(loss) * count, count], dtype=torch.float64)
        all_reduce(total)
        metrics['val_loss'] = float(total[0] / total[1])


def with_annotations_first(pipeline: list[dict]) -> list[dict]:
    """Move the loading of annotations before all that changes the image, so that boxes are resized with it.

    In evaluation pipelines it comes last: metrics compare boxes in pixels of the original image.
    """
    names = [type_name(transform['type']) for transform in pipeline]
    moved = [transform for transform, name in zip(pipeline, names) if name == 'LoadAnnotations']
    others = [transform for transform, name in zip(pipeline, names) if name != 'LoadAnnotations']
    start = 1 + next((i for i, one in enumerate(others) if 'LoadImage' in type_name(one['type'])), -1)
    return [*others[:start], *moved, *others[start:]]


@contextmanager
def losses_without_effects(model: nn.Module) -> Iterator[None]:
    """Make a model compute its training losses, with normalization, dropout and backbone as in an evaluation."""
    before = {module: module.training for module in model.modules()}
    try:
        model.train()
        for module in model.modules():
            if not list(module.children()) or isinstance(module, nn.MultiheadAttention):
                module.eval()
        backbone = getattr(model, 'backbone', None)
        if isinstance(backbone, nn.Module):
            backbone.eval()
        yield
    finally:
        for module, training in before.items():
            module.training = training
