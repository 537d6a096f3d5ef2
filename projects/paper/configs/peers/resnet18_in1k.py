# ResNet-18 (He et al., 2016) by the recipe of the paper.
_base_ = '../../../../configs/spartan_t_in1k.py'

model = dict(
    backbone=dict(_delete_=True, type='ResNet', depth=18),
    head=dict(in_channels=512),
)
