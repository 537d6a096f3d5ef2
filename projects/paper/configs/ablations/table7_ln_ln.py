# Normalization after convolutions, then before the mixers.
_base_ = '../../../../configs/spartan_xt_in1k.py'

model = dict(backbone=dict(conv_norm_cfg=dict(type='ChannelLN', eps=1e-6)))
