# ConvNeXt-Atto (Liu et al., 2022; the size is timm's and mmpretrain's), with the LayerScale of the other networks.
_base_ = './spartan_xt.py'

model = dict(
    backbone=dict(_delete_=True, type='ConvNeXt', arch='atto', drop_path_rate=0.0, layer_scale_init_value=0.1),
    neck=None,
    head=dict(in_channels=320),
)
