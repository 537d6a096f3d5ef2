_base_ = './spartan_t_cls.py'

model = dict(backbone=dict(arch='xt'), head=dict(in_channels=192))
