_base_ = '../miniature/spartan_xt.py'

model = dict(backbone=dict(smixer=dict(dilation=3)))
