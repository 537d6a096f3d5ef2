# VAN-B0 (Guo et al., 2023), with the LayerScale of the other networks.
_base_ = './spartan_xt.py'

model = dict(
    backbone=dict(
        _delete_=True, type='VAN', arch='tiny', drop_path_rate=0.0, block_cfgs=dict(layer_scale_init_value=0.1)
    ),
    head=dict(in_channels=256),
)
