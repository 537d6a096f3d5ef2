_base_ = [
    '_base_/models/rtdetr.py',
    '_base_/datasets/coco_640.py',
    '_base_/schedules/rtdetr_70e.py',
    '_base_/detection_runtime.py',
]

model = dict(
    backbone=dict(type='ResNetVD', depth=18, out_indices=(1, 2, 3), norm_cfg=dict(type='BN'), norm_eval=False),
    neck=dict(in_channels=[128, 256, 512], expansion=0.5),
    decoder=dict(num_layers=3),
)
train_cfg = dict(max_epochs=72)
