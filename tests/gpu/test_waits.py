"""What the host waits for in a whole training step: forward pass, losses, backward pass and update of the weights."""

import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope

from mmspartan.benchmark.models import ground_truth
from tests.conftest import ROOT
from tests.gpu.conftest import no_waits


def training_step(config: str, batch_size: int, size: int, amp: bool = False) -> Callable[[], None]:
    """A step of a published recipe on data that is on the GPU."""
    cfg = Config.fromfile(ROOT / 'configs' / config)
    if not amp:
        cfg.optim_wrapper.type = 'OptimWrapper'
        cfg.optim_wrapper.pop('loss_scale', None)
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model).cuda().train()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    images = torch.randn(batch_size, 3, size, size, device='cuda')
    samples = ground_truth(model, images)

    def step() -> None:
        with wrapper.optim_context(model):
            losses = model(images, samples, mode='loss')
        wrapper.update_params(model.parse_losses(losses)[0])

    return step


@contextmanager
def noted_waits() -> Iterator[list[list[str]]]:
    """The functions that are running at each operation for which the host waits for the GPU."""
    waits = []

    def note(message, *args, **kwargs):
        if 'synchronizing' in str(message):
            waits.append([frame.name for frame in traceback.extract_stack()])

    torch.cuda.set_sync_debug_mode('warn')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('always')
            warnings.showwarning = note
            yield waits
    finally:
        torch.cuda.set_sync_debug_mode('default')


def test_classifier_does_not_wait():
    step = training_step('spartan_xt_in1k.py', 8, 64)
    step()
    with no_waits():
        step()


def test_classifier_in_mixed_precision_waits_for_the_scaler():
    step = training_step('spartan_xt_in1k.py', 8, 64, amp=True)
    step()
    with noted_waits() as waits:
        step()
    assert [('_maybe_opt_step' in functions) for functions in waits] == [True], waits  # whether a gradient is infinite


def test_detector_waits_for_the_matching():
    """mmdet's overlaps wait as well, and mmengine for the norm of the gradient, which it logs."""
    step = training_step('rtdetr_spartan_xt_coco.py', 2, 320)
    step()
    with noted_waits() as waits:
        step()
    others = [functions[-8:] for functions in waits if not {'match', 'bbox_overlaps', '_clip_grad'} & {*functions}]
    assert waits and others == []
