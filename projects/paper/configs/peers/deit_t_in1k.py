# DeiT-T without distillation (Touvron et al., 2021) by the recipe of the paper.
_base_ = '../../../../configs/spartan_t_in1k.py'

model = dict(
    backbone=dict(_delete_=True, type='VisionTransformer', arch='deit-tiny', img_size=224, drop_path_rate=0.1),
    neck=None,
    head=dict(type='VisionTransformerClsHead', in_channels=192),
)
