_base_ = '../photographs/spartan_xt.py'

model = dict(backbone=dict(smixer=dict(kernel_size=(5, 5))))
