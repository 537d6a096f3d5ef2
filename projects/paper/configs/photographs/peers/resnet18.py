# ResNet-18 (He et al., 2016).
_base_ = './spartan_xt.py'

model = dict(backbone=dict(_delete_=True, type='ResNet', depth=18), head=dict(in_channels=512))
