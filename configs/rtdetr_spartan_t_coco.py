_base_ = [
    '_base_/models/rtdetr.py',
    '_base_/datasets/coco_640.py',
    '_base_/schedules/rtdetr_70e.py',
    '_base_/detection_runtime.py',
]

# Weights trained on ImageNet go into backbone.init_cfg:
# backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='CKPT', prefix='backbone.')), or on the command line
# --cfg-options model.backbone.init_cfg.type=Pretrained model.backbone.init_cfg.checkpoint=CKPT \
#     model.backbone.init_cfg.prefix=backbone.
model = dict(
    backbone=dict(type='SpaRTAN', arch='t', out_indices=(1, 2, 3)),
    neck=dict(in_channels=[64, 128, 256]),
)
