# Activation of all patch embeddings, then of the blocks. The stem of the published model has GELU instead.
_base_ = '../../../../configs/spartan_xt_in1k.py'

model = dict(backbone=dict(stem_act_cfg=dict(type='SiLU')))
