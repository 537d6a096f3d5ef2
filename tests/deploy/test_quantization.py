"""In INT8 the layers of D-FINE and DEIMv2 that predict boxes stay in floating point, as RT-DETR's do."""

from collections import Counter

import onnx
import pytest
import torch

from mmspartan.deploy import deploy
from mmspartan.deploy.onnx import to_onnx
from mmspartan.deploy.quantization import QUANTIZED, Feeds, count_products, quantize
from mmspartan.deploy.tasks import build_graph, task_of_model
from tests.configs.smallest import WIDTH, smallest
from tests.conftest import build_model

# what reads boxes, and its width: both layers of D-FINE, the first of DEIMv2
READERS = {'dfine_hgnetv2_s_coco': {(4, 2 * WIDTH): 2}, 'deimv2_hgnetv2_atto_coco': {(4, WIDTH): 1}}
POINTS = {'dfine_hgnetv2_s_coco': 2 * 8 * 12, 'deimv2_hgnetv2_atto_coco': 2 * 8 * 6}  # two numbers for each point


@pytest.mark.usefixtures('one_thread')
@pytest.mark.parametrize('name', READERS)
def test_scores_boxes_distributions_and_points_stay_in_floating_point(name, tmp_path):
    torch.manual_seed(0)
    model = build_model(smallest(name).model).eval()
    task = task_of_model(model)
    inputs = task.example(1, (64, 64))
    names = dict(input_names=list(inputs), output_names=task.outputs)
    path = tmp_path / 'model.onnx'
    to_onnx(build_graph(deploy(model)), list(inputs.values()), **names).save(path)
    quantize(path, path, Feeds(iter([{name: value.numpy() for name, value in inputs.items()}])))

    graph = onnx.load(path).graph
    stored = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    exact = Counter(
        stored[node.input[1]] for node in graph.node if node.op_type in QUANTIZED and node.input[1] in stored
    )
    expected = {
        (WIDTH, 3): 2,  # scores of query selection and of the last layer
        (WIDTH, 4): 2,  # boxes of query selection and those of the first layer
        (WIDTH, 4 * 33): 2,  # distributions of each layer, which add up
        (WIDTH, POINTS[name]): 2,
        (64, 1): 1,  # quality of the last boxes, part of the score
        **READERS[name],
    }
    assert exact == expected
    integer, products = count_products(graph)
    assert products - integer == exact.total() and integer > 0.8 * products
