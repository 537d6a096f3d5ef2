"""The detectors of all configs, as small as their options allow: two decoder layers, few channels and queries."""

from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope

from mmspartan import config_path, list_configs

DETECTORS = [name for name in list_configs() if name.startswith(('rtdetr', 'dfine', 'deim'))]
WIDTH = 16
ARCH = dict(channels=(8, 16, 24, 32), depths=(1, 1, 1, 1), expand_ratios=(2, 2, 2, 2))
# The shallowest backbone of the same blocks, and the channels of its stages.
BACKBONES: dict[Any, tuple[Any, tuple[int, ...]]] = {
    **dict.fromkeys(('xt', 't'), (ARCH, ARCH['channels'])),
    **dict.fromkeys((18, 34), (18, (64, 128, 256, 512))),
    **dict.fromkeys((50, 101), (50, (256, 512, 1024, 2048))),
    **dict.fromkeys(('b0', 'b2'), ('b0', (64, 256, 512, 1024))),  # learnable affine blocks
    **dict.fromkeys(('atto', 'femto'), ('atto', (64, 256, 256))),  # the same, of three stages
    **dict.fromkeys(('b4', 'b5'), ('b4', (128, 512, 1024, 2048))),
}


def smallest(name: str) -> Config:
    """Return the config ``name`` with the smallest network that has its options, without augmentations of a batch."""
    cfg = Config.fromfile(config_path(name))
    init_default_scope(cfg.default_scope)
    shrink(cfg.model)
    cfg.model.data_preprocessor.batch_augments = None
    return cfg


def shrink(model: ConfigDict) -> None:
    """Make the network of a detector the smallest that has its options; for three classes."""
    backbone, neck, decoder = model.backbone, model.neck, model.decoder
    key = 'depth' if 'depth' in backbone else 'arch'
    backbone[key], channels = BACKBONES[backbone[key]]
    backbone.pop('init_cfg', None)
    neck.in_channels = [channels[i] for i in backbone.get('out_indices', (1, 2, 3))]
    if 'in_channels' in model:
        model.in_channels = 2 * WIDTH
    neck.hidden_channels = model.get('in_channels', WIDTH)
    neck.update(num_blocks=1, expansion=1.0)
    if neck.type != 'LiteEncoder':  # which has no attention
        neck.feedforward_channels = WIDTH
    for part in decoder.layer_cfg.values():
        if isinstance(part, dict):
            part.embed_dims = WIDTH
    decoder.layer_cfg.ffn_cfg.feedforward_channels = WIDTH
    decoder.num_layers = 2
    model.bbox_head.update(embed_dims=WIDTH, num_classes=3)
    model.num_queries = model.test_cfg.max_per_img = 6
    if 'num_decoder_layers' in model.test_cfg:
        model.test_cfg.num_decoder_layers = 1
