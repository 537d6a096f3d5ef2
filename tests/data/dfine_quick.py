# D-FINE of the size of rtdetr_quick.py.
_base_ = './rtdetr_quick.py'

model = dict(
    type='DFINE',
    neck=dict(type='DFINEEncoder'),
    decoder=dict(num_layers=2, layer_cfg=dict(cross_attn_cfg=dict(num_points=[3, 6, 3]))),
    bbox_head=dict(type='DFINEHead'),
)
