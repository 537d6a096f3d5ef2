# PVT-T (Wang et al., 2021) by the recipe of the paper; it needs mmdet.
_base_ = '../../../../configs/spartan_t_in1k.py'

custom_imports = dict(imports=['mmspartan', 'projects.paper.peers.pvt'])
model = dict(
    backbone=dict(_delete_=True, type='PVTForClassification', num_layers=[2, 2, 2, 2], drop_path_rate=0.1),
    head=dict(in_channels=512),
)
