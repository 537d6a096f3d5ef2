_base_ = './spartan_xt.py'

model = dict(backbone=dict(conv_type='depthwise'))
