"""Computes ``tests/data/dfine_hf.npz`` with transformers 5.24: ``python -m tests.dfine.make_golden_hf``.

PyTorch, transformers and safetensors are needed, but no package of OpenMMLab. Everything is in float64. Weights are
random numbers that follow from their names in the file that transformers writes, so that none are stored.

For each size n, s, m, l and x:
    config         config.json
    names, shapes  of the weights
    setting/NAME   tensors of the file that are not weights
    logits, boxes  of two images of 128 x 128 pixels, 30 queries
"""

import functools
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from tests.dfine import make_golden
from tests.dfine.make_golden import CLASSES, QUERIES, images, is_computed

SIZES = 'nsmlx'


def architecture(stem: list[int], middle: list[int], channels: list[int], blocks: list[int], layers: int) -> dict:
    """Return the settings of HGNetV2 whose stages have these channels within and at their end."""
    return dict(
        stem_channels=stem,
        stage_in_channels=[stem[-1], *channels[:-1]],
        stage_mid_channels=middle,
        stage_out_channels=channels,
        stage_num_blocks=blocks,
        stage_numb_of_layers=[layers] * 4,
        hidden_sizes=channels,
    )


B0 = architecture([3, 16, 16], [16, 32, 64, 128], [64, 256, 512, 1024], [1, 1, 2, 1], 3)
B2 = architecture([3, 24, 32], [32, 64, 128, 256], [96, 384, 768, 1536], [1, 1, 3, 1], 4)
B5 = architecture([3, 32, 64], [64, 128, 256, 512], [128, 512, 1024, 2048], [1, 2, 5, 2], 6)
B4 = dict(hidden_sizes=[128, 512, 1024, 2048])
for small in (B0, B2):
    small['use_learnable_affine_block'] = True
BACKBONES = dict(n=B0, s=B0, m=B2, l=B4, x=B5)
OPTIONS: dict[str, dict[str, Any]] = dict(
    n=dict(
        encoder_in_channels=[512, 1024],
        feat_strides=[16, 32],
        num_feature_levels=2,
        encode_proj_layers=[1],
        encoder_hidden_dim=128,
        encoder_ffn_dim=512,
        hidden_expansion=0.34,
        depth_mult=0.5,
        d_model=128,
        decoder_in_channels=[128, 128],
        decoder_ffn_dim=512,
        decoder_n_points=[6, 6],
        decoder_layers=3,
        freeze_backbone_batch_norms=False,
    ),
    s=dict(
        encoder_in_channels=[256, 512, 1024],
        hidden_expansion=0.5,
        depth_mult=0.34,
        decoder_n_points=[3, 6, 3],
        decoder_layers=3,
        freeze_backbone_batch_norms=False,
    ),
    m=dict(
        encoder_in_channels=[384, 768, 1536],
        depth_mult=0.67,
        decoder_n_points=[3, 6, 3],
        decoder_layers=4,
        freeze_backbone_batch_norms=False,
    ),
    l=dict(decoder_n_points=[3, 6, 3]),
    x=dict(
        encoder_hidden_dim=384,
        encoder_ffn_dim=2048,
        decoder_in_channels=[384, 384, 384],
        reg_scale=8.0,
        decoder_n_points=[3, 6, 3],
    ),
)


def weight(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    return make_golden.weight(name.replace('embedder', 'stem'), shape)  # no embedding


def build_config(size: str) -> Any:
    from transformers import DFineConfig, HGNetV2Config

    stages = ['stage2', 'stage3', 'stage4'][-OPTIONS[size].get('num_feature_levels', 3) :]
    backbone = HGNetV2Config(**BACKBONES[size], out_features=stages)
    return DFineConfig(backbone_config=backbone, num_queries=QUERIES, num_labels=CLASSES, **OPTIONS[size])


def to_float64(model: torch.nn.Module) -> torch.nn.Module:
    """Convert a model, but for its anchors, which are of float32 in the authors' code."""
    model = model.double().eval()
    for module in model.modules():
        if hasattr(module, 'num_points_scale'):  # 1/3 and 1/6 were float32
            module.num_points_scale = 1 / (1 / module.num_points_scale).round()
    model.model.generate_anchors = in_float32(model.model.generate_anchors)
    return model


def in_float32(make: Any) -> Any:
    """Return a function that computes in float32, also inside, and returns the dtype that is asked for."""

    @functools.wraps(make)
    def wrapper(*args: Any, dtype: torch.dtype, **kwargs: Any) -> Any:
        with mock.patch.object(torch, 'float64', torch.float32):
            made = make(*args, dtype=torch.float32, **kwargs)
        return made.to(dtype) if isinstance(made, torch.Tensor) else (made[0].to(dtype), *made[1:])

    return wrapper


def main() -> None:
    from safetensors.torch import load_file, save_file
    from transformers import DFineForObjectDetection
    from transformers.models.d_fine import modeling_d_fine

    # positions in the encoder, as the anchors
    make_positions = modeling_d_fine.build_2d_sinusoidal_position_embedding
    modeling_d_fine.build_2d_sinusoidal_position_embedding = in_float32(make_positions)
    arrays: dict[str, Any] = {}
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            DFineForObjectDetection(build_config(size)).save_pretrained(folder)
            (path,) = Path(folder).glob('*.safetensors')
            state = load_file(path)
            arrays[f'{size}/config'] = np.array((Path(folder) / 'config.json').read_text())
            names = [name for name in state if not is_computed(name)]
            save_file(
                {**state, **{name: weight(name, tuple(state[name].shape)) for name in names}}, path, {'format': 'pt'}
            )
            model, info = DFineForObjectDetection.from_pretrained(folder, output_loading_info=True)
        assert not any(info.values()), info
        arrays[f'{size}/names'] = np.array(names)
        arrays[f'{size}/shapes'] = np.array(['x'.join(map(str, state[name].shape)) for name in names])
        for name in state.keys() - set(names):
            if not name.endswith('num_batches_tracked'):
                arrays[f'{size}/setting/{name}'] = state[name].numpy()
        with torch.no_grad():
            found = to_float64(model)(images())
        arrays[f'{size}/logits'], arrays[f'{size}/boxes'] = found.logits.numpy(), found.pred_boxes.numpy()
    np.savez_compressed(Path(__file__).parents[1] / 'data' / 'dfine_hf.npz', **arrays)


if __name__ == '__main__':
    main()
