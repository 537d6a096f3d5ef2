# Swin-1G by the recipe of the paper. Liu et al. (2021), whom the paper cites, have no such size; the name is from
# Mobile-Former (Chen et al., 2022), which does not publish its widths. Nobody else knows them: this is Swin-T at half
# its channels, which has the published parameters.
_base_ = '../../../../configs/spartan_t_in1k.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='SwinTransformer',
        arch=dict(embed_dims=48, depths=[2, 2, 6, 2], num_heads=[3, 6, 12, 24]),
        img_size=224,
        drop_path_rate=0.1,
    ),
    head=dict(in_channels=384),
)
