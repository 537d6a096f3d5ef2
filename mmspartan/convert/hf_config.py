"""``config.json`` of a Hugging Face folder: settings that the weights do not show, and names of classes."""

import json
from pathlib import Path
from typing import Any

# Settings with the values of this package's models.
EXPECTED: dict[str, Any] = dict(
    encoder_attention_heads=8,
    decoder_attention_heads=8,
    decoder_offset_scale=0.5,
    activation_function='silu',
    encoder_activation_function='gelu',
    decoder_activation_function='relu',
    positional_encoding_temperature=10000,
    normalize_before=False,
    learn_initial_query=False,
    layer_norm_eps=1e-5,
    batch_norm_eps=1e-5,
)

# Of D-FINE, besides these.
EXPECTED_DFINE: dict[str, Any] = dict(layer_scale=1, eval_size=None)

# Of DEIMv2, besides RT-DETR's. The authors' networks, which were converted, have SiLU in all heads.
EXPECTED_DEIMV2: dict[str, Any] = dict(
    layer_scale=1, decoder_activation_function='silu', encoder_fuse_op='sum', encoder_has_trailing_conv=True
)

# Of the `backbone_config` of both.
EXPECTED_HGNET: dict[str, Any] = dict(
    hidden_act='relu', stem_strides=[2, 1, 1, 2, 1], stage_downsample_strides=[2, 2, 2, 2]
)


def read_hugging_face_config(src: Path, num_levels: int) -> dict[str, Any]:
    """Read ``config.json`` in a folder, or beside a file of weights that show ``num_levels``; {} if there is none.

    Raises ValueError if it cannot be read, or a setting that the weights do not show is not that of this package's
    models.
    """
    path = (src if src.is_dir() else src.parent) / 'config.json'
    if not path.is_file():
        return {}
    try:
        config = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f'{path}: not JSON: {error}') from error
    if not isinstance(config, dict):
        raise ValueError(f"{path}: not a model's config")
    others = {'d_fine': EXPECTED_DFINE, 'deimv2': EXPECTED_DEIMV2}.get(config.get('model_type', ''))
    attention = {} if config.get('encoder_type') == 'lite' else dict(encode_proj_layers=[num_levels - 1])
    _check(path, config, {**EXPECTED, **(others or {}), 'num_feature_levels': num_levels, **attention})
    if others is not None:
        if config.get('eval_idx', -1) not in (-1, config.get('decoder_layers', 6) - 1):
            raise ValueError(
                f'{path}: eval_idx is {config["eval_idx"]!r}; models of this package end with the last layer'
            )
        backbone = config.get('backbone_config')
        _check(path, backbone if isinstance(backbone, dict) else {}, EXPECTED_HGNET, 'backbone_config.')
    return config


def _check(path: Path, config: dict[str, Any], expected: dict[str, Any], prefix: str = '') -> None:
    for key, value in expected.items():
        if config.get(key, value) != value:
            raise ValueError(f'{path}: {prefix}{key} is {config[key]!r}; models of this package have {value!r}')
