_base_ = './dfine_hgnetv2_m_coco.py'

model = dict(
    backbone=dict(arch='b0'),
    neck=dict(in_channels=[256, 512, 1024], num_blocks=1, expansion=0.5),
    decoder=dict(num_layers=3),
    data_preprocessor=dict(batch_augments=[dict(_base_.multi_scale, sizes=[*_base_.sizes, *[640] * 20])]),
)
optim_wrapper = dict(
    paramwise_cfg=dict(
        rules=[
            dict(pattern=r'^backbone\.', lr_mult=0.5),
            dict(pattern=r'\[norm\]|bias$', decay_mult=0.0),
        ]
    )
)
