# DEIM's loss, its denoising, and the activations and query positions of its decoder, for RT-DETRv2.
deim_model = dict(
    dn_cfg=dict(keep_sides=True),
    bbox_head=dict(
        loss_cls=dict(type='MatchabilityAwareLoss', alpha=1.0, gamma=1.5),
        act_cfg=dict(type='SiLU'),
    ),
    decoder=dict(
        act_cfg=dict(type='SiLU'),
        num_query_pos_layers=3,
        layer_cfg=dict(ffn_cfg=dict(act_cfg=dict(type='SiLU'))),
    ),
)
