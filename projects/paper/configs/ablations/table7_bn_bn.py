# Normalization after convolutions, then before the mixers.
_base_ = '../../../../configs/spartan_xt_in1k.py'

model = dict(backbone=dict(norm_cfg=dict(type='BN', eps=1e-6)))
