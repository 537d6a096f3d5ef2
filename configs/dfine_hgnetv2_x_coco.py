_base_ = './dfine_hgnetv2_l_coco.py'

model = dict(
    in_channels=384,
    backbone=dict(arch='b5'),
    neck=dict(hidden_channels=384, feedforward_channels=2048),
    bbox_head=dict(distribution=dict(scale=8)),
    data_preprocessor=dict(batch_augments=[dict(_base_.multi_scale, sizes=[*_base_.sizes, *[640] * 3])]),
)
optim_wrapper = dict(
    paramwise_cfg=dict(
        rules=[
            dict(pattern=r'^backbone\.', lr_mult=0.01),
            dict(pattern=r'\[norm\]', decay_mult=0.0),
        ]
    )
)
