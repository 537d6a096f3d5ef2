_base_ = './dfine_hgnetv2_l_coco.py'

model = dict(
    backbone=dict(arch='b2', frozen_stem=False, frozen_norm=False),
    neck=dict(in_channels=[384, 768, 1536], num_blocks=2),
    decoder=dict(num_layers=4),
    data_preprocessor=dict(batch_augments=[dict(_base_.multi_scale, sizes=[*_base_.sizes, *[640] * 6])]),
)
optim_wrapper = dict(
    optimizer=dict(lr=2e-4, weight_decay=1e-4),
    paramwise_cfg=dict(
        rules=[
            dict(pattern=r'^backbone\.', lr_mult=0.1),
            dict(pattern=r'\[norm\]|bias$', decay_mult=0.0),
        ]
    ),
)
custom_hooks = [*_base_.custom_hooks[:-1], dict(_base_.final_stage, final_epochs=12)]
train_cfg = dict(max_epochs=132)
