# Activation of all patch embeddings, then of the blocks.
_base_ = '../../../../configs/spartan_xt_in1k.py'

model = dict(backbone=dict(downsample_act_cfg=dict(type='GELU')))
