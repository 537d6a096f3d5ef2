# D-FINE-L (arXiv 2410.13842). The authors train with --amp.
_base_ = [
    '_base_/models/dfine.py',
    '_base_/datasets/coco_640.py',
    '_base_/schedules/dfine.py',
    '_base_/detection_runtime.py',
]

model = dict(
    backbone=dict(type='HGNetV2', arch='b4', frozen_stem=True, frozen_norm=True),
    neck=dict(in_channels=[512, 1024, 2048]),
    data_preprocessor=dict(batch_augments=[dict(_base_.multi_scale, sizes=[*_base_.sizes, *[640] * 4])]),
)
train_dataloader = dict(batch_size=4)
custom_hooks = [*_base_.custom_hooks, dict(_base_.final_stage, final_epochs=8)]
