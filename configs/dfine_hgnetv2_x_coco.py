_base_ = './dfine_hgnetv2_l_coco.py'

model = dict(
    in_channels=384,
    backbone=dict(arch='b5'),
    neck=dict(hidden_channels=384, feedforward_channels=2048),
    bbox_head=dict(distribution=dict(scale=8)),
)
