# Normalization after convolutions, then before the mixers.
_base_ = './spartan_xt.py'

model = dict(backbone=dict(norm_cfg=dict(type='BN', eps=1e-6)))
