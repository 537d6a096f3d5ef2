# DEIMv2-Pico of the size of rtdetr_quick.py; the second epoch matches otherwise, from the best weights.
_base_ = './dfine_quick.py'

_stage = dict(pipeline=_base_.train_dataloader.dataset.pipeline)

model = dict(
    type='DEIMv2',
    num_levels=2,
    backbone=dict(out_indices=(2,)),
    neck=dict(_delete_=True, type='LiteEncoder', in_channels=[24], hidden_channels=128, expansion=0.34, num_blocks=1),
    decoder=dict(
        layer_cfg=dict(
            gated=False,
            cross_attn_cfg=dict(num_levels=2, num_points=[4, 2]),
            ffn_cfg=dict(_delete_=True, embed_dims=128, feedforward_channels=256, ffn_drop=0.0),
        ),
    ),
    bbox_head=dict(share_reg_branches=True, fgl_weight=0.0, ddf_weight=0.0),
)
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='StageHook',
        switch_epochs=[0, 1],
        stages=[_stage, dict(_stage, match_costs=[dict(type='ScoreIoUCost', power=4.0)], from_best=True)],
    ),
]
