# MogaNet-XT (Li et al., 2024) at 256 pixels by the recipe of the paper.
_base_ = '../../../../configs/spartan_t_256_in1k.py'

custom_imports = dict(imports=['mmspartan', 'projects.paper.peers.moganet'])
model = dict(
    backbone=dict(_delete_=True, type='MogaNet', arch='xt', drop_path_rate=0.1),
    head=dict(in_channels=192),
)
