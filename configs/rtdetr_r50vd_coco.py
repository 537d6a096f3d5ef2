_base_ = [
    '_base_/models/rtdetr.py',
    '_base_/datasets/coco_640.py',
    '_base_/schedules/rtdetr_70e.py',
    '_base_/detection_runtime.py',
]

model = dict(
    backbone=dict(
        type='ResNetVD',
        depth=50,
        out_indices=(1, 2, 3),
        frozen_stages=0,
        norm_cfg=dict(type='BN', requires_grad=False),
        norm_eval=True,
    ),
    neck=dict(in_channels=[512, 1024, 2048]),
)
optim_wrapper = dict(
    paramwise_cfg=dict(
        rules=[
            dict(pattern=r'^backbone\.', lr_mult=0.1),
            dict(pattern=r'\[norm\]|bias$', decay_mult=0.0),
        ]
    )
)
train_cfg = dict(max_epochs=72)
