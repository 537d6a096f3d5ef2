# Normalization after convolutions, then before the mixers.
_base_ = './spartan_xt.py'

model = dict(backbone=dict(conv_norm_cfg=dict(type='ChannelLN', eps=1e-6)))
