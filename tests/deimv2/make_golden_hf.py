"""Computes ``tests/data/deimv2_hf.npz`` with transformers 5.24: ``python -m tests.deimv2.make_golden_hf``.

PyTorch, transformers and safetensors are needed, but no package of OpenMMLab. Everything is in float64. Weights are
random numbers that follow from their names in the file that transformers writes, so that none are stored.

transformers 5.24 computes something else than DEIMv2's authors in three points, which are replaced here: it has a layer
between encoder and query selection, ReLU in heads, and positions of queries from the boxes of each layer.

For each size atto and n:
    config         config.json
    names, shapes  of the weights
    setting/NAME   tensors of the file that are not weights
    logits, boxes  of two images of 128 x 128 pixels, 30 queries
"""

import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tests.deimv2 import make_golden
from tests.dfine.make_golden import CLASSES, QUERIES, images, is_computed
from tests.dfine.make_golden_hf import B0, in_float32, to_float64

SIZES = ('atto', 'n')
ATTO = dict(
    stem_channels=[3, 16, 16],
    stage_in_channels=[16, 64, 256],
    stage_mid_channels=[16, 32, 64],
    stage_out_channels=[64, 256, 256],
    stage_num_blocks=[1, 1, 1],
    stage_downsample=[False, True, True],
    stage_light_block=[False, False, True],
    stage_kernel_size=[3, 3, 3],
    stage_numb_of_layers=[3, 3, 3],
    hidden_sizes=[64, 256, 256],
    depths=[3, 3, 3],
    use_learnable_affine_block=True,
)
ALIKE = dict(
    feat_strides=[16, 32],
    num_feature_levels=2,
    hidden_expansion=0.34,
    depth_mult=0.5,
    decoder_activation_function='silu',
    decoder_layers=3,
    freeze_backbone_batch_norms=False,
)
OPTIONS: dict[str, dict[str, Any]] = dict(
    atto=dict(
        encoder_type='lite',
        encoder_layers=0,
        encoder_in_channels=[256],
        encoder_hidden_dim=64,
        d_model=64,
        decoder_in_channels=[64, 64],
        decoder_ffn_dim=160,
        decoder_n_points=[4, 2],
        use_gateway=False,
        share_bbox_head=True,
    ),
    n=dict(
        encoder_in_channels=[512, 1024],
        encode_proj_layers=[1],
        encoder_hidden_dim=128,
        encoder_ffn_dim=512,
        d_model=128,
        decoder_in_channels=[128, 128],
        decoder_ffn_dim=512,
        decoder_n_points=[6, 6],
    ),
)


def weight(name: str, shape: tuple[int, ...], size: str) -> torch.Tensor:
    """Return random numbers, but for the layer that transformers adds what its conversion gives it."""
    if '.enc_output.' in name:
        return torch.eye(*shape) if len(shape) == 2 else torch.full(shape, float(name.endswith('1.weight')))
    name = re.sub(r'bbox_embed\.\d', 'bbox_embed.0', name) if size != 'n' else name
    return make_golden.weight(name.replace('embedder', 'stem'), shape, 'n')  # no embedding


def build_config(size: str) -> Any:
    from transformers import Deimv2Config, HGNetV2Config

    backbone = HGNetV2Config(
        **(B0 if size == 'n' else ATTO), out_features=['stage3', 'stage4'] if size == 'n' else ['stage3']
    )
    return Deimv2Config(backbone_config=backbone, num_queries=QUERIES, num_labels=CLASSES, **ALIKE, **OPTIONS[size])


class First(nn.Module):
    """The positions of queries of the first layer, also in the others."""

    def __init__(self, head: nn.Module):
        super().__init__()
        self.head, self.found = head, None

    def forward(self, boxes: torch.Tensor) -> torch.Tensor:
        if self.found is None:
            self.found = self.head(boxes)
        return self.found


def as_the_authors(model: Any) -> Any:
    """Replace what transformers computes otherwise, or in float32, in place; the model then predicts once."""
    model.model.enc_output = nn.Identity()
    for module in list(model.modules()):
        if isinstance(getattr(module, 'act', None), nn.ReLU) and type(module).__name__ == 'Deimv2MLP':
            module.act = nn.SiLU()
        for name, child in module.named_children():
            if type(child).__name__ == 'Deimv2RMSNorm':
                norm = nn.RMSNorm(len(child.weight), eps=child.variance_epsilon)
                norm.weight = child.weight
                setattr(module, name, norm)
    model.model.decoder.query_pos_head = First(model.model.decoder.query_pos_head)
    return model


def main() -> None:
    from safetensors.torch import load_file, save_file
    from transformers import Deimv2ForObjectDetection
    from transformers.models.deimv2 import modeling_deimv2

    # positions in the encoder, as the anchors
    for name in dir(modeling_deimv2):
        if name.startswith('build_2d_sin'):
            setattr(modeling_deimv2, name, in_float32(getattr(modeling_deimv2, name)))
    arrays: dict[str, Any] = {}
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            Deimv2ForObjectDetection(build_config(size)).save_pretrained(folder)
            (path,) = Path(folder).glob('*.safetensors')
            state = load_file(path)
            arrays[f'{size}/config'] = np.array((Path(folder) / 'config.json').read_text())
            names = [name for name in state if not is_computed(name)]
            weights = {name: weight(name, tuple(state[name].shape), size) for name in names}
            save_file({**state, **weights}, path, {'format': 'pt'})
            model, info = Deimv2ForObjectDetection.from_pretrained(folder, output_loading_info=True)
        assert not any(info.values()), info
        model.load_state_dict({**state, **weights}, strict=False)  # from_pretrained forgets the shared branch
        arrays[f'{size}/names'] = np.array(names)
        arrays[f'{size}/shapes'] = np.array(['x'.join(map(str, state[name].shape)) for name in names])
        for name in state.keys() - set(names):
            if not name.endswith('num_batches_tracked'):
                arrays[f'{size}/setting/{name}'] = state[name].numpy()
        with torch.no_grad():
            model = to_float64(model)
            found = as_the_authors(model)(images())
        arrays[f'{size}/logits'], arrays[f'{size}/boxes'] = found.logits.numpy(), found.pred_boxes.numpy()
    np.savez_compressed(Path(__file__).parents[1] / 'data' / 'deimv2_hf.npz', **arrays)


if __name__ == '__main__':
    main()
