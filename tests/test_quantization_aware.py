"""Training that is aware of quantization: what is rounded, and the way of a network through it."""

import copy
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from mmcv.cnn.bricks import wrappers
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn

from mmspartan import get_model
from mmspartan.deploy import deploy
from mmspartan.deploy.load import load_model
from mmspartan.deploy.onnx import to_onnx
from mmspartan.deploy.quantization import Feeds, quantize
from mmspartan.deploy.tasks import build_graph
from mmspartan.errors import InputError
from mmspartan.nn.fake_quant import bits_of, insert_quantizers, observe, round_weight
from mmspartan.quantization_aware import calibrate, last_stage
from mmspartan.runs.hooks.fake_quant_hook import KEY, FakeQuantHook
from mmspartan.spartan.modulated_conv import ModulatedConv2d
from tests.configs.smallest import smallest
from tests.conftest import ROOT, perturb, refuses
from tests.docs.scripts import run_here
from tests.rtdetr.test_detector import batch

CONFIG = 'spartan_xt_digits'
TOOL = ROOT / 'tools' / 'compress.py'
TINY = dict(
    backbone=dict(arch=dict(channels=(8, 16, 24, 32), depths=(1, 1, 1, 1), expand_ratios=(2, 2, 2, 2), _delete_=True)),
    head=dict(in_channels=32),
)


def build() -> nn.Module:
    torch.manual_seed(0)
    model = get_model(CONFIG, **TINY)
    perturb(model)
    return model


@pytest.mark.parametrize(('kind', 'shape'), [(nn.Conv2d, (2, 3, 6, 5)), (nn.Linear, (7, 3))])
def test_inputs_have_256_steps_and_weights_those_of_their_bits_in_each_channel(kind, shape):
    torch.manual_seed(0)
    layer = kind(3, 4, *([3] if kind is nn.Conv2d else []))
    model = nn.Sequential(copy.deepcopy(layer))
    assert insert_quantizers(model, bits_of(4)) == 1
    assert model[0].weight is not layer.weight and [*dict(model.named_parameters())] == ['0.weight', '0.bias']
    x = torch.randn(shape)
    observe(model, True)
    torch.testing.assert_close(model(x), layer(x))  # nothing is rounded yet
    observe(model, False)
    step = (x.max() - x.min()) / 255
    rounded = ((x / step).round() * step).requires_grad_()
    y = model(2 * x)  # outside of the range that was seen
    torch.testing.assert_close(model(x), _rounded_weights(layer, 7)(rounded), rtol=1e-5, atol=float(step) * 0.6)
    assert y.abs().max() < 2 * model(x).abs().max()
    model(x).square().sum().backward()
    assert model[0].weight.grad.abs().min() > 0


def _rounded_weights(layer, limit: int):
    layer = copy.deepcopy(layer)
    flat = layer.weight.data.flatten(1)
    step = flat.abs().amax(1, keepdim=True) / limit
    layer.weight.data = ((flat / step).round() * step).view_as(layer.weight)
    return layer


def test_lower_precision_rounds_as_float32_does():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
    x = torch.randn(2, 3, 8, 8)
    insert_quantizers(model, bits_of(4))
    observe(model, True)
    model(x)
    observe(model, False)
    expected = model(x)
    with torch.autocast('cpu', torch.bfloat16):
        torch.testing.assert_close(model(x).float(), expected, rtol=0.02, atol=0.02)
    assert model.bfloat16()(x.bfloat16()).dtype == torch.bfloat16


def test_a_channel_of_zeros_can_learn():
    weight = torch.stack([torch.zeros(3, 3, 3), torch.ones(3, 3, 3)]).requires_grad_()
    rounded = round_weight(weight, 4)
    torch.testing.assert_close(rounded, weight)
    rounded.sum().backward()
    assert (weight.grad == 1).all()


def test_only_layers_that_compute_a_plain_product_are_rounded():
    model = nn.Sequential(ModulatedConv2d(6, 3, 2), nn.MultiheadAttention(4, 2), wrappers.Linear(4, 4))
    assert insert_quantizers(model, bits_of()) == 1 and hasattr(model[2], 'input_quantizer')


def test_a_layer_that_is_not_called_is_named():
    model = build()
    model.backbone.unused = nn.Linear(2, 2)
    insert_quantizers(model, bits_of())
    image = dict(inputs=torch.zeros(3, 32, 32, dtype=torch.uint8), data_samples=DataSample())
    with pytest.raises(InputError, match=r'backbone\.unused: was not called'):
        calibrate(model, [image])
    insert_quantizers(kept := build(), bits_of(keep='unused'))
    calibrate(kept, [image])


def test_layers_are_chosen_by_their_names():
    bits = bits_of(4, keep_8bit='stem')
    assert [bits(name) for name in ('backbone.stem.0', 'backbone.conv', 'bbox_head.fc', 'attn.sampling_offsets')] == [
        8, 4, 0, 0,
    ]  # fmt: skip
    assert bits_of(8, keep='stem')('stem.conv') == bits_of(8, keep='stem')('head.fc') == 0
    with pytest.raises(InputError, match=r"keep='\('"):
        bits_of(8, keep='(')
    with refuses('FakeQuantHook', 'weight_bits', 9):
        FakeQuantHook(weight_bits=9)


@pytest.mark.parametrize('name', ['rtdetr_r18vd_coco', 'dfine_spartan_xt_coco', 'deimv2_hgnetv2_atto_coco'])
def test_detectors_train_with_rounded_weights(name):
    cfg = smallest(name)
    torch.manual_seed(0)
    model = deploy(MODELS.build(cfg.model).eval())
    data = batch(3, 1, shapes=[(96, 128)] * 2, num_classes=3)
    names = {key: value.clone() for key, value in model.named_parameters()}
    before = model.test_step(copy.deepcopy(data))
    insert_quantizers(model, bits_of())
    calibrate(model, [dict(inputs=x, data_samples=sample) for x, sample in zip(data['inputs'], data['data_samples'])])
    ranges = [value for key, value in model.named_buffers() if key.endswith('min_val')]
    assert len(ranges) > 50 and all(value.isfinite().all() for value in ranges)
    after = model.test_step(copy.deepcopy(data))
    for one, other in zip(before, after):
        difference = (one.pred_instances.scores - other.pred_instances.scores).abs().max()
        assert 0 < difference < 0.1
    optim_wrapper = build_optim_wrapper(model, dict(optimizer=dict(type='AdamW', lr=1e-3)))
    assert model.train().train_step(data, optim_wrapper)['loss'].isfinite()
    moved = [key for key, value in model.named_parameters() if not value.equal(names[key])]
    assert dict(model.named_parameters()).keys() == names.keys() and len(moved) > 0.8 * len(names)


def test_last_stage_of_a_recipe_is_trained():
    stages = [dict(pipeline=[1]), dict(pipeline=[2], from_best=True)]
    assert last_stage(dict(type='StageHook', switch_epochs=[4, 9], stages=stages), 3) == dict(
        type='StageHook', switch_epochs=[0], stages=[dict(pipeline=[2], from_best=False)]
    )
    found = last_stage(dict(type='FinalStageHook', final_epochs=2, pipeline=[2], from_best=True), 3)
    assert (found['final_epochs'], found['from_best']) == (3, False)
    schedule = [dict(action_epoch=2, train_pipeline=[1]), dict(action_epoch=8, train_pipeline=[2])]
    found = last_stage(dict(type='mmpretrain.SwitchRecipeHook', schedule=schedule), 3)
    assert found['schedule'] == [dict(action_epoch=1, train_pipeline=[2])]


@pytest.fixture(scope='module')
def quantized(tmp_path_factory) -> Path:
    """A folder with what compress.py makes of an untrained classifier with 4-bit weights, trained for two epochs."""
    folder = tmp_path_factory.mktemp('quantized')
    (folder / 'tiny.py').write_text(
        f"_base_ = __import__('mmspartan').config_path({CONFIG!r})\nmodel = {TINY}\n"
        'train_dataloader = dict(dataset=dict(indices=64))\nval_dataloader = dict(dataset=dict(indices=64))\n'
        'test_dataloader = val_dataloader\n'
    )
    model = build()
    meta = dict(dataset_meta=dict(classes=list('0123456789')))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), folder / 'weights.pth')
    options = ['--out', 'small', '--weight-bits', 4, '--keep-8bit', 'patch_embeds', '--images', 8, '--epochs', 2]
    printed = run_here(TOOL, 'quantize', 'tiny.py', 'weights.pth', *options, cwd=folder)
    assert 'convolutions and linear layers are rounded' in printed
    run_here(ROOT / 'tools' / 'train.py', 'small/config.py', '--work-dir', 'run', cwd=folder)
    return folder


def test_checkpoints_fit_the_folded_network_and_evaluate_as_in_training(quantized):
    cfg = Config.fromfile(quantized / 'small' / 'config.py')
    checkpoint = torch.load(quantized / 'run' / 'epoch_2.pth', weights_only=True)
    start = torch.load(quantized / 'small' / 'quantized.pth', weights_only=True)
    model = load_model(cfg, str(quantized / 'run' / 'epoch_2.pth'))
    assert model.backbone.is_deployed and checkpoint['state_dict'].keys() == model.state_dict().keys()
    ranges = checkpoint[KEY]
    assert ranges.keys() == start[KEY].keys()
    assert all(value.equal(start[KEY][key]) for key, value in ranges.items() if key.endswith(('min_val', 'max_val')))
    printed = run_here(ROOT / 'tools' / 'test.py', 'small/config.py', 'run/epoch_2.pth', cwd=quantized)
    last = [line for line in (quantized / 'run').glob('*/*.log').__next__().read_text().splitlines() if 'top1' in line][
        -1
    ]
    assert last.partition('accuracy/top1: ')[2].split()[0] in printed.rpartition('accuracy/top1: ')[2].split()


def test_training_goes_on_with_its_ranges(quantized, tmp_path):
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / 'epoch_1.pth').write_bytes((quantized / 'run' / 'epoch_1.pth').read_bytes())
    (tmp_path / 'run' / 'last_checkpoint').write_text(str(tmp_path / 'run' / 'epoch_1.pth'))
    options = [quantized / 'small' / 'config.py', '--work-dir', 'run', '--resume']
    run_here(ROOT / 'tools' / 'train.py', *options, cwd=tmp_path)
    resumed, unbroken = (
        torch.load(folder / 'run' / 'epoch_2.pth', weights_only=True) for folder in (tmp_path, quantized)
    )
    for part in ('state_dict', KEY):
        for key, value in unbroken[part].items():
            assert value.equal(resumed[part][key]), key


def test_weights_without_ranges_and_networks_that_are_not_folded_are_refused(quantized):
    weights = torch.load(quantized / 'small' / 'quantized.pth', weights_only=True)
    del weights[KEY]
    torch.save(weights, quantized / 'without.pth')
    weights['state_dict'] = build().state_dict()
    torch.save({**weights, KEY: {'some': 0}}, quantized / 'unfolded.pth')
    hooks = "custom_hooks = [dict(type='FakeQuantHook'), dict(type='EMAHook')]"
    (quantized / 'averaged.py').write_text(f"_base_ = 'small/config.py'\n{hooks}\n")
    test, unfolded = ROOT / 'tools' / 'test.py', ('--cfg-options', 'model.backbone.deploy=False')
    quantize = ('quantize', 'tiny.py', 'weights.pth', '--out')
    for script, arguments, message in [
        (test, ('small/config.py', 'without.pth'), r'no ranges of inputs: make it by tools/compress\.py quantize'),
        (test, ('small/config.py', 'unfolded.pth', *unfolded), 'deploy=True'),
        (test, ('averaged.py', 'small/quantized.pth'), 'leave EMAHook out'),
        (TOOL, (*quantize, 'x', '--weight-bits', 9), '--weight-bits 9: can be 2 to 8'),
        (TOOL, (*quantize, 'small'), 'small: is there already'),
    ]:
        with pytest.raises(AssertionError, match=message):
            run_here(script, *arguments, cwd=quantized)


def test_what_is_rounded_is_what_the_int8_file_rounds(tmp_path):
    graph = build_graph(deploy(build()))
    x = torch.rand(8, 3, 32, 32) * 255
    to_onnx(graph, (x,), input_names=['images'], output_names=['scores']).save(tmp_path / 'm.onnx')
    quantize(tmp_path / 'm.onnx', tmp_path / 'm.onnx', Feeds(iter([{'images': x.numpy()}])))
    file = onnx.load(tmp_path / 'm.onnx').graph
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in file.initializer}
    nodes = [node for node in file.node if node.op_type == 'DequantizeLinear']
    of_inputs = [float(values[node.input[1]]) for node in nodes if node.input[0] not in values]
    weights = [node for node in nodes if node.input[0] in values and values[node.input[0]].dtype == np.int8]
    of_weights = [values[node.input[1]] for node in weights]
    with torch.no_grad():
        insert_quantizers(graph, bits_of())
        observe(graph, True)
        graph(x)
        observe(graph, False)
        graph(x)
    layers = [module for module in graph.modules() if hasattr(module, 'input_quantizer')]
    scales = [float(layer.input_quantizer.scale) for layer in layers]
    assert sorted(scales) == pytest.approx(sorted(of_inputs), rel=1e-4)
    steps = torch.cat([layer.weight.detach().flatten(1).abs().amax(1) / 127 for layer in layers])
    torch.testing.assert_close(steps.sort().values, torch.tensor(np.concatenate(of_weights)).sort().values)
