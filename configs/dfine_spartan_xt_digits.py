# D-FINE with the widths and the recipe of rtdetr_spartan_xt_digits, to compare the two.
_base_ = './rtdetr_spartan_xt_digits.py'

model = dict(
    type='DFINE',
    neck=dict(type='DFINEEncoder'),
    decoder=dict(layer_cfg=dict(cross_attn_cfg=dict(num_points=[3, 6, 3]))),
    bbox_head=dict(type='DFINEHead'),
)
