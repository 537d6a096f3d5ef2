_base_ = './spartan_xt_cifar10.py'

model = dict(backbone=dict(arch='t'), head=dict(in_channels=256))
