# D-FINE without a backbone. A size sets num_layers, and widths other than those of L.
_base_ = './rtdetr.py'

model = dict(
    type='DFINE',
    neck=dict(type='DFINEEncoder', num_blocks=3),
    decoder=dict(layer_cfg=dict(cross_attn_cfg=dict(num_points=[3, 6, 3]))),
    bbox_head=dict(type='DFINEHead', distribution=dict(scale=4), fgl_weight=0.15, ddf_weight=1.5),
)
