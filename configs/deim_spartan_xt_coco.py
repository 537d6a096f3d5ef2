_base_ = './deim_spartan_t_coco.py'

model = dict(backbone=dict(arch='xt'), neck=dict(in_channels=[64, 96, 192]))
