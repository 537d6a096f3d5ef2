# Activation of all patch embeddings, then of the blocks.
_base_ = './spartan_xt.py'

model = dict(backbone=dict(downsample_act_cfg=dict(type='GELU')))
