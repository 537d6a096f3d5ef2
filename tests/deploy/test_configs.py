"""The detectors of all configs, exported, give the detections that they give in PyTorch.

An export takes the longer the more layers there are. Networks are built as small as their options allow, and configs
share an export: each backbone, neck, decoder and head is in one of them.
"""

import numpy as np
import onnx
import pytest
import torch
from mmengine.registry import MODELS

from mmspartan import list_configs
from mmspartan.deploy import deploy
from mmspartan.deploy.onnx import to_onnx
from mmspartan.deploy.session import Session
from mmspartan.deploy.tasks import build_graph, task_of_model
from tests.configs.test_rtdetr import load
from tests.conftest import perturb
from tests.deploy.test_onnx import needs_export

DETECTORS = [name for name in list_configs() if name.startswith(('rtdetr', 'dfine', 'deim'))]
EXPORTED = [
    'rtdetr_spartan_xt_digits',
    'rtdetrv2_r50vd_m_dsp_coco',
    'deim_rtdetrv2_r18vd_coco',
    'dfine_hgnetv2_n_coco',
    'deim_hgnetv2_x_coco',
]
# What the kind of the detector does not change.
ANYWHERE = ('.backbone.', '.in_channels=', '.neck.hidden_channels=')
WIDTH = 16
ARCH = dict(channels=(8, 16, 24, 32), depths=(1, 1, 1, 1), expand_ratios=(2, 2, 2, 2))
# The shallowest backbone of the same blocks, and the channels of its stages.
BACKBONES = {
    **dict.fromkeys(('xt', 't'), (ARCH, ARCH['channels'])),
    **dict.fromkeys((18, 34), (18, (64, 128, 256, 512))),
    **dict.fromkeys((50, 101), (50, (256, 512, 1024, 2048))),
    **dict.fromkeys(('b0', 'b2'), ('b0', (64, 256, 512, 1024))),  # learnable affine blocks
    **dict.fromkeys(('b4', 'b5'), ('b4', (128, 512, 1024, 2048))),
}
TRAINING = {'frozen_stages', 'frozen_stem', 'frozen_norm', 'norm_eval', 'norm_cfg', 'layer_scale_init_value'}


def smallest(name: str) -> dict:
    """Return the network of a config with two decoder layers and few channels, without what only trains it."""
    model = load(name).model
    backbone, neck, decoder, head = model.backbone, model.neck, model.decoder, model.bbox_head
    key = 'depth' if 'depth' in backbone else 'arch'
    backbone[key], channels = BACKBONES[backbone[key]]
    neck.in_channels = [channels[i] for i in backbone.get('out_indices', (1, 2, 3))]
    if 'in_channels' in model:
        model.in_channels = 2 * WIDTH
    neck.hidden_channels = model.get('in_channels', WIDTH)
    neck.update(feedforward_channels=WIDTH, num_blocks=1, expansion=1.0)
    for cfg in decoder.layer_cfg.values():
        cfg.embed_dims = WIDTH
    decoder.layer_cfg.ffn_cfg.feedforward_channels = WIDTH
    decoder.num_layers = 2
    head.update(embed_dims=WIDTH, num_classes=3, loss_cls=dict(type='IoUVarifocalLoss'))
    model.num_queries = model.test_cfg.max_per_img = 6
    if 'num_decoder_layers' in model.test_cfg:
        model.test_cfg.num_decoder_layers = 1
    model.data_preprocessor.batch_augments = None
    for option in TRAINING & backbone.keys():
        del backbone[option]
    for option in {'dn_cfg', 'train_cfg', 'xavier_init'} & model.keys():
        del model[option]
    return model.to_dict()


def settings(model: dict, path: str = '') -> set[str]:
    """Return each value of a network with its path."""
    if not isinstance(model, dict):
        return {f'{path}={model}'} - {f'.neck.in_channels={model}'}  # follow from the backbone
    return {found for key, value in model.items() for found in settings(value, f'{path}.{key}')}


def test_each_setting_of_a_config_is_in_one_that_is_exported():
    """Those of neck, decoder and head in a detector of the same type."""
    found = {}
    for name in DETECTORS:
        model = smallest(name)
        found[name] = {('' if value.startswith(ANYWHERE) else model['type'], value) for value in settings(model)}
    exported = set().union(*(found[name] for name in EXPORTED))
    assert len(DETECTORS) > 30
    assert {name: rest for name, values in found.items() if (rest := values - exported)} == {}


@needs_export
@pytest.mark.parametrize('name', EXPORTED)
@torch.no_grad()
def test_exported_detector_gives_the_detections_of_its_config(name, tmp_path):
    torch.manual_seed(0)
    cfg = smallest(name)
    model = MODELS.build(cfg).eval()
    perturb(model, 0.05)
    for branch in model.bbox_head.cls_branches:
        branch.weight.normal_()  # scores with larger differences than those of runtimes
        branch.bias.zero_()
    task = task_of_model(model)
    example = task.example(2, (96, 128))
    expected = dict(zip(task.outputs, build_graph(model)(*example.values())))
    graph = build_graph(deploy(model))
    exported = to_onnx(graph, list(example.values()), input_names=list(example), output_names=task.outputs).model_proto
    is_discrete = cfg['decoder']['layer_cfg']['cross_attn_cfg'].get('method') == 'discrete'
    assert ('GridSample' in {node.op_type for node in exported.graph.node}) != is_discrete
    onnx.save(exported, tmp_path / 'model.onnx')
    feed = {key: value.numpy() for key, value in example.items()}
    for backend in ('onnxruntime', 'openvino'):
        found = Session(tmp_path / 'model.onnx', backend)(**feed)
        np.testing.assert_array_equal(found['labels'], expected['labels'].numpy())
        # of discrete sampling the median, since rounding moves a point to the next position now and then
        largest = np.median if is_discrete else np.max
        for output, most in (('scores', 1e-4), ('boxes', 1e-2)):  # boxes in pixels
            assert largest(np.abs(found[output] - expected[output].numpy())) < most, (backend, output)
