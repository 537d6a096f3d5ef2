"""RT-DETR with ResNet-vd computes what Hugging Face's implementations of RT-DETR and RT-DETRv2 compute.

In float64, with random weights. Each level has 4 points, for which RT-DETRv2's sampling is RT-DETR's, unless it is
discrete.
"""

import copy

import pytest
import torch
from torch.testing import assert_close

from mmspartan.convert.rtdetr_hf import rtdetr_from_hugging_face
from tests.conftest import build_model
from tests.rtdetr.test_golden import CONFIG

transformers = pytest.importorskip('transformers', reason='transformers 4.49.0 is not installed')

DEPTHS = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3], 50: [3, 4, 6, 3], 101: [3, 4, 23, 3]}


def kind_of(depth: int) -> tuple[str, list[int]]:
    """Return the kind of the blocks and the channels of the stages."""
    return ('basic', [64, 128, 256, 512]) if depth < 50 else ('bottleneck', [256, 512, 1024, 2048])


def build_theirs(depth: int, num_labels: int = 10, version: str = '', **options):
    """A small RTDetrForObjectDetection, or that of version ``'V2'``, with random weights, none of them zero."""
    layer_type, channels = kind_of(depth)
    backbone = transformers.RTDetrResNetConfig(
        depths=DEPTHS[depth],
        layer_type=layer_type,
        hidden_sizes=channels,
        embedding_size=64,
        out_features=['stage2', 'stage3', 'stage4'],
    )
    config = getattr(transformers, f'RTDetr{version}Config')(
        backbone_config=backbone,
        backbone=None,
        use_pretrained_backbone=False,
        freeze_backbone_batch_norms=False,
        encoder_in_channels=channels[1:],
        encoder_hidden_dim=64,
        encoder_ffn_dim=128,
        hidden_expansion=0.5,
        d_model=64,
        decoder_in_channels=[64] * 3,
        decoder_ffn_dim=128,
        decoder_layers=2,
        num_queries=30,
        num_labels=num_labels,
        **options,
    )
    torch.manual_seed(0)
    theirs = getattr(transformers, f'RTDetr{version}ForObjectDetection')(config)
    theirs = theirs.double().eval().requires_grad_(False)
    for name, buffer in theirs.named_buffers():
        if name.endswith(('running_mean', 'running_var')):
            buffer.uniform_(0.5, 1.5)
    for parameter in theirs.parameters():  # zeros at the start would hide what they multiply
        parameter.add_(0.02 * torch.randn_like(parameter))
    return theirs


@pytest.mark.parametrize('depth', DEPTHS)
@torch.no_grad()
def test_outputs_are_equal(depth):
    theirs = build_theirs(depth)
    ours = build_ours(depth)
    ours.load_state_dict(rtdetr_from_hugging_face(theirs.state_dict())[0])
    compare(ours, theirs)


@pytest.mark.parametrize('method', ['default', 'discrete'])
@pytest.mark.parametrize('points', [4, 2])
@torch.no_grad()
def test_outputs_of_version_2_are_equal(points, method):
    theirs = build_theirs(18, version='V2', decoder_method=method, decoder_n_points=points)
    ours = build_ours(18, num_points=points, method=method)
    ours.load_state_dict(rtdetr_from_hugging_face(theirs.state_dict())[0])
    compare(ours, theirs)


def build_ours(depth: int, num_classes: int = 10, **sampling):
    cfg = copy.deepcopy(CONFIG)
    cfg['decoder']['layer_cfg']['cross_attn_cfg'].update(sampling)
    cfg['bbox_head']['num_classes'] = num_classes
    cfg['backbone'] = dict(type='ResNetVD', depth=depth, out_indices=(1, 2, 3))
    cfg['neck']['in_channels'] = kind_of(depth)[1][1:]
    return build_model(cfg).double().eval()


@torch.no_grad()
def compare(ours, theirs):
    # anchors are float32 here and in the authors' code, float64 there
    ours.generate_anchors = lambda *args: theirs.model.generate_anchors(args[0], device=args[1], dtype=torch.float64)
    x = torch.rand(2, 3, 128, 128, dtype=torch.float64)
    logits, boxes = ours(x, mode='tensor')
    expected = theirs(x)
    assert_close(logits[-1], expected.logits, rtol=0, atol=1e-9)
    assert_close(boxes[-1], expected.pred_boxes, rtol=0, atol=1e-9)
