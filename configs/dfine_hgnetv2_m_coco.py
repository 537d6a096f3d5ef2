_base_ = './dfine_hgnetv2_l_coco.py'

model = dict(
    backbone=dict(arch='b2', frozen_stem=False, frozen_norm=False),
    neck=dict(in_channels=[384, 768, 1536], num_blocks=2),
    decoder=dict(num_layers=4),
)
