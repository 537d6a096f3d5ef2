_base_ = './dfine_hgnetv2_m_coco.py'

model = dict(
    backbone=dict(arch='b0'),
    neck=dict(in_channels=[256, 512, 1024], num_blocks=1, expansion=0.5),
    decoder=dict(num_layers=3),
)
