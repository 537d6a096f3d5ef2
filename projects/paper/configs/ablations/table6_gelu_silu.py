# Activation of all patch embeddings, then of the blocks.
_base_ = './table6_gelu_gelu.py'

model = dict(backbone=dict(act_cfg=dict(type='SiLU')))
