"""The largest batch of a training that fits into a GPU, from the memory that two small batches take."""

from collections.abc import Callable

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, init_default_scope

from ..errors import InputError
from .training_step import TrainingStep

# Share of the GPU's memory that a batch may take: algorithms of cuDNN and fragmentation need the rest.
SHARE = 0.85
LARGEST = 512
STEPS = 20  # of an epoch, at least: a small dataset needs steps more than a large batch


def fitting_batch(memory_of: Callable[[int], int], available: int, most: int = LARGEST) -> int:
    """Return the largest batch whose memory fits, a multiple of 8 or a smaller power of two, at most ``most``.

    ``memory_of`` returns the peak memory in bytes of a training step. It grows linearly with the batch, over what
    model, optimizer and averaged weights take. Raises InputError if a batch of 2 does not fit.
    """
    two, four = memory_of(2), memory_of(4)
    each = max(1, (four - two) // 2)
    largest = min(most, 2 + (available - two) // each)
    if largest < 2:
        raise InputError(
            f'--auto-batch: a batch of 2 takes {two / 2**30:.1f} GiB of {available / 2**30:.1f}: use smaller images, '
            '--amp or model.backbone.with_cp=True'
        )
    return int(largest // 8 * 8 if largest >= 8 else 4 if largest >= 4 else 2)


def auto_batch(cfg: Config) -> int:
    """Measure training steps of a config on the current GPU, and return the batch that fits.

    The images are those of the training set with the most objects, of the largest size of a multi-scale training. An
    epoch keeps at least 20 iterations.

    Raises:
        InputError: If there is no GPU, or a batch of 2 does not fit.
    """
    if not torch.cuda.is_available():
        raise InputError('--auto-batch needs a GPU; set train_dataloader.batch_size')
    batch = _measure(cfg)
    torch.cuda.empty_cache()  # of the model that was measured
    return batch


def _measure(cfg: Config) -> int:
    init_default_scope(cfg.get('default_scope') or 'mmengine')
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    if hasattr(dataset, 'full_init'):
        dataset.full_init()
    order = sorted(range(len(dataset)), key=lambda i: -len(dataset.get_data_info(i).get('instances', ())))
    samples = [dataset[i] for i in order[:4]]
    step = TrainingStep(cfg, 'cuda', max)

    def memory_of(batch: int) -> int:
        torch.cuda.reset_peak_memory_stats()
        for _ in range(2):  # the optimizer's state exists from the second step on
            step(pseudo_collate([samples[i % len(samples)] for i in range(batch)]))
        return torch.cuda.max_memory_allocated()

    averaged = sum(tensor.numel() * tensor.element_size() for tensor in step.model.state_dict().values())
    available = int(SHARE * torch.cuda.get_device_properties(0).total_memory) - averaged
    return fitting_batch(memory_of, available, min(LARGEST, max(2, len(dataset) // STEPS)))
