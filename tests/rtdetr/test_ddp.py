"""Two processes with batch b compute what one computes with batch 2b, whichever of them has objects."""

from tests.rtdetr.test_detector import kinds

SCRIPT = """
import sys, torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from tests.rtdetr.test_detector import batch, build, total

def step(model, inner, data):
    model.train()
    for module in inner.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    data = inner.data_preprocessor(data, training=True)
    loss = total(model(data['inputs'].double(), data['data_samples'], mode='loss'))
    inner.zero_grad()
    loss.backward()
    return loss.detach(), torch.cat([p.grad.flatten() for p in inner.parameters()])

def quiet(model):
    model.denoising.label_noise, model.denoising.box_noise = 0.0, 1e-9  # nothing is random
    return model.double()

dist.init_process_group('gloo')
rank = dist.get_rank()
whole = batch(3, 3, 3, 3)
half = {key: value[2 * rank : 2 * rank + 2] for key, value in whole.items()}
inner = quiet(build(kind='KIND'))
model = DistributedDataParallel(inner)
loss, gradient = step(model, inner, half)
dist.all_reduce(loss)
for counts in [(2, 3), (0, 0), (0, 1)]:  # one process without objects does not wait for the other
    uneven = batch(*(counts if rank == 0 else counts[::-1] if any(counts) else (4, 1)))
    found = step(model, inner, uneven)[1]
    expected = found.clone()
    dist.broadcast(expected, 0)
    assert found.isfinite().all() and torch.equal(found, expected)
dist.destroy_process_group()  # or the process that ends first may abort the other one's end
alone = quiet(build(kind='KIND'))
expected_loss, expected_gradient = step(alone, alone, whole)
assert abs(loss / 2 - expected_loss) < 1e-5 * expected_loss, (loss / 2, expected_loss)
error = (gradient - expected_gradient).norm() / expected_gradient.norm()
assert error < 1e-5, error
"""


@kinds
def test_loss_and_gradients_are_those_of_one_process_and_one_without_objects_does_not_wait(kind, two_processes):
    two_processes(SCRIPT.replace('KIND', kind))


STATIC = """
import torch
import torch.distributed as dist
from mmengine.registry import MODELS
from torch.nn.parallel import DistributedDataParallel
from tests.conftest import TINY
from tests.rtdetr.test_detector import batch, build, total

def gradients(model, loss_of, data, static):
    model = DistributedDataParallel(model.train(), static_graph=static)
    found = []
    for seed, one in enumerate(data):
        torch.manual_seed(seed)
        loss_of(model, one).backward()
        found.append(torch.cat([parameter.grad.flatten() for parameter in model.parameters()]).clone())
        model.zero_grad()
    return found

def compare(new_model, loss_of, data):
    expected, found = (gradients(new_model(), loss_of, data, static) for static in (False, True))
    for one, two in zip(expected, found, strict=True):
        assert one.norm() > 0 and (one - two).norm() <= 1e-6 * one.norm()

def spartan():
    torch.manual_seed(0)
    return MODELS.build(dict(type='SpaRTAN', arch=TINY))

def detection_loss(model, data):
    return total(model(**model.module.data_preprocessor(data, training=True), mode='loss'))

dist.init_process_group('gloo')
rank = dist.get_rank()
torch.manual_seed(rank)
compare(spartan, lambda model, images: model(images)[0].square().mean(), torch.rand(3, 2, 3, 64, 64))
objects = [(2, 3), (0, 0), (0, 1)]  # the denoising queries are absent in the second step
compare(build, detection_loss, [batch(*counts[:: 1 - 2 * rank]) for counts in objects])
dist.destroy_process_group()
"""


def test_a_static_graph_changes_no_gradient_whatever_the_number_of_objects(two_processes):
    two_processes(STATIC)
