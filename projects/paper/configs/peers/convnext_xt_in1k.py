# ConvNeXt-XT by the recipe of the paper. Liu et al. (2022), whom the paper cites, have no such size; it is from
# ParC-Net (Zhang et al., 2022; code: hkzhang-git/ParC-Net): ConvNeXt-T at half its channels.
_base_ = '../../../../configs/spartan_t_in1k.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='ConvNeXt',
        arch=dict(depths=[3, 3, 9, 3], channels=[48, 96, 192, 384]),
        drop_path_rate=0.1,
    ),
    neck=None,
    head=dict(in_channels=384),
)
