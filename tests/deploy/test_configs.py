"""The detectors of all configs, exported, give the detections that they give in PyTorch.

An export takes the longer the more layers there are. Networks are built as small as their options allow, and configs
share an export: each backbone, neck, decoder and head is in one of them.
"""

import numpy as np
import onnx
import pytest
import torch
from mmengine.registry import MODELS

from mmspartan.deploy import deploy
from mmspartan.deploy.onnx import to_onnx
from mmspartan.deploy.session import Session
from mmspartan.deploy.tasks import build_graph, task_of_model
from tests.configs.smallest import DETECTORS, smallest
from tests.conftest import perturb
from tests.deploy.test_onnx import needs_export

EXPORTED = [
    'rtdetr_spartan_xt_digits',
    'rtdetrv2_r50vd_m_dsp_coco',
    'deim_rtdetrv2_r18vd_coco',
    'dfine_hgnetv2_n_coco',
    'deim_hgnetv2_x_coco',
    'deimv2_hgnetv2_atto_coco',
    'deimv2_hgnetv2_n_coco',
]
# What the kind of the detector does not change.
ANYWHERE = ('.backbone.', '.in_channels=', '.neck.hidden_channels=')
# What only trains a network.
TRAINING = {
    'backbone': {
        'frozen_stages',
        'frozen_stem',
        'frozen_norm',
        'norm_eval',
        'norm_cfg',
        'layer_scale_init_value',
        'init_cfg',
    }
}
TRAINING |= {'bbox_head': {'loss_cls'}, '': {'dn_cfg', 'train_cfg', 'xavier_init'}}


def settings(model: dict, path: str = '') -> set[str]:
    """Return each value of a network with its path."""
    if not isinstance(model, dict):
        return {f'{path}={model}'} - {f'.neck.in_channels={model}'}  # follow from the backbone
    return {found for key, value in model.items() for found in settings(value, f'{path}.{key}')}


def test_each_setting_of_a_config_is_in_one_that_is_exported():
    """Those of neck, decoder and head in a detector of the same type."""
    found = {}
    for name in DETECTORS:
        model = smallest(name).model
        for part, options in TRAINING.items():
            for option in options & (owner := model[part] if part else model).keys():
                del owner[option]
        found[name] = {('' if value.startswith(ANYWHERE) else model['type'], value) for value in settings(model)}
    exported = set().union(*(found[name] for name in EXPORTED))
    assert len(DETECTORS) > 30
    assert {name: rest for name, values in found.items() if (rest := values - exported)} == {}


@needs_export
@pytest.mark.parametrize('name', EXPORTED)
@torch.no_grad()
def test_exported_detector_gives_the_detections_of_its_config(name, tmp_path):
    torch.manual_seed(0)
    cfg = smallest(name).model
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
    is_discrete = cfg.decoder.layer_cfg.cross_attn_cfg.get('method') == 'discrete'
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
