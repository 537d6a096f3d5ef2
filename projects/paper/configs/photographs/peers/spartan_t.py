_base_ = './spartan_xt.py'

model = dict(backbone=dict(arch='t'), head=dict(in_channels=256))
