"""A detector that is rounded by ranges of a CPU computes the same on a GPU, and trains there."""

import copy

import torch
from mmengine.optim import AmpOptimWrapper
from mmengine.registry import MODELS

from mmspartan.deploy import deploy
from mmspartan.nn.fake_quant import bits_of, insert_quantizers, round_weight
from mmspartan.quantization_aware import calibrate
from tests.configs.smallest import smallest
from tests.rtdetr.test_detector import batch


def test_rounded_detector_is_that_of_the_cpu_and_trains():
    torch.manual_seed(0)
    model = deploy(MODELS.build(smallest('rtdetr_r18vd_coco').model).eval())
    data = batch(3, 1, shapes=[(96, 128)] * 2, num_classes=3)
    insert_quantizers(model, bits_of())
    calibrate(model, [dict(inputs=x, data_samples=sample) for x, sample in zip(data['inputs'], data['data_samples'])])
    with torch.no_grad():
        expected = model.extract_feat(model.data_preprocessor(copy.deepcopy(data))['inputs'])
        model.cuda()
        found = model.extract_feat(model.data_preprocessor(copy.deepcopy(data))['inputs'])
    for one, other in zip(found, expected):  # a sum that is rounded otherwise moves single values by a step
        assert (one.cpu() - other).norm() < 0.05 * other.norm()
    wrapper = AmpOptimWrapper(dtype='bfloat16', optimizer=torch.optim.AdamW(model.parameters(), lr=1e-4))
    assert model.train().train_step(data, wrapper)['loss'].isfinite()


def test_weights_are_rounded_without_a_wait_of_the_host():
    weight = torch.randn(8, 4, 3, 3, device='cuda', requires_grad=True)
    torch.cuda.set_sync_debug_mode('error')
    try:
        round_weight(weight, 4).sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode('default')
