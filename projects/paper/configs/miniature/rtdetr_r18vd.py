# ResNet-18 in place of SpaRTAN-XT, with channels that give its backbone equal multiply-adds: 207 M at 128 x 128 pixels,
# of SpaRTAN-XT 205 M. As in ResNetVD, there is a convolution in the shortcut of the first block: the stem has more
# channels than the block.
_base_ = './rtdetr_spartan_xt.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='ResNetV1d',
        depth=18,
        stem_channels=40,
        base_channels=34,
        out_indices=(1, 2, 3),
        norm_eval=False,
    ),
    neck=dict(in_channels=[68, 136, 272]),
)
