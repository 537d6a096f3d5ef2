"""What the host waits for in a whole training step: copy of the batch, forward pass, losses, backward pass, update."""

import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope

from mmspartan.benchmark.models import ground_truth
from tests.conftest import ROOT


def training_step(config: str, batch_size: int, size: int, amp: bool = False) -> Callable[[], None]:
    """A step of a published recipe on a batch as the data loader returns it, with images in pinned memory."""
    cfg = Config.fromfile(ROOT / 'configs' / config)
    if not amp:
        cfg.optim_wrapper.type = 'OptimWrapper'
        cfg.optim_wrapper.pop('loss_scale', None)
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model).cuda().train()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    images = torch.randint(256, (batch_size, 3, size, size), dtype=torch.uint8)
    batch = dict(inputs=[image.pin_memory() for image in images], data_samples=ground_truth(model, images))

    def step() -> None:
        data = model.data_preprocessor(batch, training=True)
        with wrapper.optim_context(model):
            losses = model(**data, mode='loss')
        wrapper.update_params(model.parse_losses(losses)[0])

    return step


@contextmanager
def noted_waits() -> Iterator[list[set[str]]]:
    """The functions, and after ``/`` the files, that run at each operation for which the host waits for the GPU."""
    waits: list[set[str]] = []

    def note(message, *args, **kwargs):
        if 'synchronizing' in str(message):
            frames = traceback.extract_stack()
            waits.append({name for frame in frames for name in (frame.name, f'/{Path(frame.filename).name}')})

    torch.cuda.set_sync_debug_mode('warn')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('always')
            warnings.showwarning = note
            yield waits
    finally:
        torch.cuda.set_sync_debug_mode('default')


@pytest.mark.parametrize('amp', [False, True])
def test_classifier_waits_for_the_scaler(amp):
    """It skips a step with an infinite gradient. mmpretrain's preprocessing waits as well."""
    step = training_step('spartan_xt_in1k.py', 8, 64, amp)
    step()
    with noted_waits() as waits:
        step()
    others = [names for names in waits if '/data_preprocessor.py' not in names]
    assert ['_maybe_opt_step' in names for names in others] == [True] * amp, others


def test_detector_waits_for_the_matching():
    """mmdet's overlaps wait as well, and mmengine for the norm of the gradient, which it logs."""
    step = training_step('rtdetr_spartan_xt_coco.py', 2, 320)
    step()
    with noted_waits() as waits:
        step()
    others = [names for names in waits if not {'match', 'bbox_overlaps', '_clip_grad'} & names]
    assert waits and others == []
