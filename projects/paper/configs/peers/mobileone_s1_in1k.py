# MobileOne-S1 (Vasu et al., 2023) by the recipe of the paper.
_base_ = '../../../../configs/spartan_t_in1k.py'

model = dict(
    backbone=dict(_delete_=True, type='MobileOne', arch='s1', out_indices=(3,)),
    head=dict(in_channels=1280),
)
