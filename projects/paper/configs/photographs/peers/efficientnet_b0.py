# EfficientNet-B0 (Tan and Le, 2019).
_base_ = './spartan_xt.py'

model = dict(backbone=dict(_delete_=True, type='EfficientNet', arch='b0'), head=dict(in_channels=1280))
