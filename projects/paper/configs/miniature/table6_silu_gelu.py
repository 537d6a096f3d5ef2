# Activation of all patch embeddings, then of the blocks. The stem of SpaRTAN-XT has GELU instead.
_base_ = './spartan_xt.py'

model = dict(backbone=dict(stem_act_cfg=dict(type='SiLU')))
