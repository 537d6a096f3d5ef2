# DEIMv2 for D-FINE of the widths of N. RMSNorm and SwiGLU are the decoder's defaults, SiLU is DEIM's.
_base_ = './deim.py'

deim_model = dict(
    type='DEIMv2',
    neck=dict(type='DEIMv2Encoder'),
    decoder=dict(layer_cfg=dict(ffn_cfg=dict(_delete_=True, embed_dims=128, feedforward_channels=512, ffn_drop=0.0))),
)
