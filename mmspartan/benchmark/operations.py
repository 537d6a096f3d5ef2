"""How many operations a training step or an inference launches, by the parts of the model, counted on a CPU.

Small batches leave a GPU idle while the host launches the next operation, about 30 microseconds each: there the time of
a step is the number of its operations. They are counted in the forms for GPUs. Deformable attention is counted without
mmcv's operator, which makes fewer.
"""

import logging
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.hooks import EMAHook, Hook
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ..deploy import fold_in_place
from ..ops.device import gpu_forms
from ..runs.optim_wrapper_constructor import fuses
from ..runs.runner import ResumableRunner
from ..runs.training_step import fix_size
from .costs import Operators
from .models import ground_truth

REST = 'other'
# Parts of models by the methods that compute them.
METHODS = {
    'backbone': ('backbone', 'forward'),
    'neck': ('neck', 'forward'),
    'decoder': ('decoder', 'forward'),
    'matching': ('bbox_head', 'match'),
    'head and losses': ('bbox_head', 'loss'),
    'preprocessing': ('data_preprocessor', 'forward'),
}


class PartOperators(Operators):
    """Counts operators by the part that launches them."""

    def __init__(self) -> None:
        super().__init__()
        self.part = REST
        self.counts: Counter[str] = Counter()

    def note(self, name: str) -> None:
        if (self.part, name) != ('optimizer', '_local_scalar_dense'):  # numbers of steps, which are on the host
            self.counts[self.part] += 1

    def divide(self, model: Any, stack: ExitStack) -> None:
        """Until the end of ``stack`` the methods of a model's modules belong to their parts."""
        for part, (name, method) in METHODS.items():
            if hasattr(getattr(model, name, None), method):
                stack.enter_context(self.of(part, getattr(model, name), method))

    @contextmanager
    def of(self, part: str, owner: Any, method: str) -> Iterator[None]:
        """Within this context a method of an object belongs to a part."""
        original = getattr(owner, method)

        def run(*args: Any, **kwargs: Any) -> Any:
            before, self.part = self.part, part
            try:
                return original(*args, **kwargs)
            finally:
                self.part = before

        with mock.patch.object(owner, method, run):
            yield


class CountOneStep(Hook):
    """Starts to count before the second iteration; the first one builds states of optimizers."""

    priority = 'HIGHEST'

    def __init__(self, operators: PartOperators):
        self.operators = operators

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self.operators.counts.clear()


def count_training_step(cfg: Config, batch_size: int = 4, size: int = 128) -> Counter[str]:
    """Count the operations of a training step of a config's Runner, by parts, on images with seven objects each."""
    optim_wrapper = {**cfg.optim_wrapper, 'type': 'OptimWrapper'}  # AMP and its scaler need a GPU
    optim_wrapper.pop('loss_scale', None)
    optimizer = optim_wrapper['optimizer'] = {**cfg.optim_wrapper.optimizer}
    if not (optimizer.get('fused') and fuses(nn.Linear(1, 1))):
        optimizer.pop('fused', None)
        optimizer.setdefault('foreach', True)  # PyTorch's choice on GPUs
    operators = PartOperators()
    with tempfile.TemporaryDirectory() as folder, gpu_forms(), ExitStack() as stack:
        init_default_scope(cfg.get('default_scope') or 'mmengine')
        model: Any = MODELS.build(cfg.model)
        fix_size(model, min)  # a size comes again and again, and what depends on it is made once
        images = torch.randint(256, (batch_size, 3, size, size), dtype=torch.uint8)
        samples = [
            dict(inputs=image, data_samples=sample) for image, sample in zip(images, ground_truth(model, images))
        ]
        data: Any = samples * 2
        loader: DataLoader = DataLoader(data, batch_size, collate_fn=pseudo_collate)
        runner = ResumableRunner(
            model,
            folder,
            train_dataloader=loader,
            train_cfg=dict(by_epoch=True, max_epochs=1),
            optim_wrapper=optim_wrapper,
            default_hooks=dict(checkpoint=None, stop_on_signal=None),
            custom_hooks=[hook for hook in cfg.get('custom_hooks') or [] if 'EMA' in hook['type']],
            default_scope=cfg.get('default_scope'),
            log_level='ERROR',
            experiment_name=f'operations_{id(operators):x}',
            randomness=dict(seed=0),  # by which Mixup or CutMix is drawn
        )
        runner.register_hook(CountOneStep(operators))
        runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
        operators.divide(model, stack)
        wrapper = runner.optim_wrapper
        for part, owner, method in (
            ('logging', model, 'parse_losses'),
            ('backward', wrapper, 'backward'),
            ('clipping', wrapper, '_clip_grad'),
            ('optimizer', wrapper.optimizer, 'step'),
            *(
                ('averaged weights' if isinstance(hook, EMAHook) else 'logging', hook, 'after_train_iter')
                for hook in runner.hooks
            ),
        ):
            stack.enter_context(operators.of(part, owner, method))
        stack.enter_context(operators)
        logging.disable(logging.WARNING)
        try:
            runner.train()
        finally:
            logging.disable(logging.NOTSET)
    return operators.counts


@torch.no_grad()
def count_inference(cfg: Config, size: int = 128, deploy: bool = False, graph: bool = False) -> Counter[str]:
    """Count the operations that predict one image, by parts.

    Args:
        cfg: The config.
        size: Height and width of the image.
        deploy: Of the folded network.
        graph: Of a detector whose network is one CUDA graph.
    """
    init_default_scope(cfg.get('default_scope') or 'mmengine')
    operators = PartOperators()
    with gpu_forms(), ExitStack() as stack:
        model: Any = MODELS.build(cfg.model).eval()
        if deploy:
            fold_in_place(model)
        images = torch.rand(1, 3, size, size)
        samples = ground_truth(model, images)
        model(images, samples, mode='predict')  # makes what is made once
        if graph and hasattr(model, 'cuda_graphs'):
            results = model(images, mode='tensor')

            def replay(network: object, x: Tensor, settings: object) -> tuple[Tensor, ...]:
                x.clone()  # into the tensor that the graph reads
                operators.counts['CUDA graph'] += 1
                return tuple(result.clone() for result in results)

            model.cuda_graphs = replay
        operators.divide(model, stack)
        stack.enter_context(operators)
        model(images, samples, mode='predict')
    return operators.counts
