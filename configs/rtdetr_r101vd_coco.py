_base_ = './rtdetr_r50vd_coco.py'

model = dict(
    in_channels=384,
    backbone=dict(depth=101),
    neck=dict(hidden_channels=384, feedforward_channels=2048),
)
optim_wrapper = dict(
    paramwise_cfg=dict(
        rules=[
            dict(pattern=r'^backbone\.', lr_mult=0.01),
            dict(pattern=r'\[norm\]|bias$', decay_mult=0.0),
        ]
    )
)
