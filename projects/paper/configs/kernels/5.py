_base_ = '../miniature/spartan_xt.py'

model = dict(backbone=dict(smixer=dict(kernel_size=5)))
