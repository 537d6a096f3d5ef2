# DAB-Deformable-DETR (Liu et al., 2022) by the recipe of Deformable DETR, with feed-forward networks twice as wide.
_base_ = '../_base_/deformable_detr_r50_coco.py'

custom_imports = dict(imports=['mmspartan', 'projects.paper.peers.dab_deformable_detr'])
model = dict(
    type='DABDeformableDETR',
    encoder=dict(
        layer_cfg=dict(ffn_cfg=dict(feedforward_channels=2048, ffn_drop=0.0), self_attn_cfg=dict(dropout=0.0))
    ),
    decoder=dict(
        layer_cfg=dict(
            self_attn_cfg=dict(dropout=0.0),
            cross_attn_cfg=dict(dropout=0.0),
            ffn_cfg=dict(feedforward_channels=2048, ffn_drop=0.0),
        )
    ),
    test_cfg=dict(max_per_img=300),
)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
auto_scale_lr = dict(base_batch_size=16)
