# EfficientNet-B0 (Tan and Le, 2019) by the recipe of the paper.
_base_ = '../../../../configs/spartan_t_in1k.py'

model = dict(
    backbone=dict(_delete_=True, type='EfficientNet', arch='b0'),
    head=dict(in_channels=1280),
)
