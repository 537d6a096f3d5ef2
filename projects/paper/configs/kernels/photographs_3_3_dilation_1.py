_base_ = '../photographs/spartan_xt.py'

model = dict(backbone=dict(smixer=dict(dilation=1)))
