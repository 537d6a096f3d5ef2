# ViT-C, 1 GF (Xiao et al., 2021) by the recipe of the paper: ViT-1GF (192 channels, 3 heads, MLP ratio 3) with 11 of
# its 12 blocks behind a convolutional stem.
_base_ = '../../../../configs/spartan_t_in1k.py'

custom_imports = dict(imports=['mmspartan', 'projects.paper.peers.vit_c'])
model = dict(
    backbone=dict(
        _delete_=True,
        type='ViTC',
        arch=dict(embed_dims=192, num_layers=11, num_heads=3, feedforward_channels=576),
        img_size=224,
        drop_path_rate=0.1,
    ),
    neck=None,
    head=dict(type='VisionTransformerClsHead', in_channels=192),
)
