# D-FINE without a backbone. A size sets num_layers, and widths other than those of L.
_base_ = './rtdetr.py'

# of multi-scale training; a size adds 640, the more often the smaller the network
sizes = [480, 512, 544, 576, 608, 672, 704, 736, 768, 800]

model = dict(
    type='DFINE',
    dn_cfg=dict(keep_sides=True),
    neck=dict(type='DFINEEncoder', num_blocks=3),
    decoder=dict(layer_cfg=dict(cross_attn_cfg=dict(num_points=[3, 6, 3]))),
    bbox_head=dict(type='DFINEHead', distribution=dict(scale=4), fgl_weight=0.15, ddf_weight=1.5),
)
