# D-FINE without a backbone. A size sets num_layers, and widths other than those of L.
_base_ = './rtdetr.py'

# Multi-scale training. A size of the network adds 640 to the sizes, the more often the smaller it is.
sizes = [480, 512, 544, 576, 608, 672, 704, 736, 768, 800]
multi_scale = dict(type='BatchRandomChoiceResize', interpolation='nearest')

model = dict(
    type='DFINE',
    dn_cfg=dict(keep_sides=True),
    neck=dict(type='DFINEEncoder', num_blocks=3),
    decoder=dict(layer_cfg=dict(cross_attn_cfg=dict(num_points=[3, 6, 3]))),
    bbox_head=dict(type='DFINEHead', distribution=dict(scale=4), fgl_weight=0.15, ddf_weight=1.5),
)
