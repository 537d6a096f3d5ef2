# The widths of encoder and decoder are those of D-FINE-S.
_base_ = './dfine_hgnetv2_s_coco.py'

model = dict(
    backbone=dict(_delete_=True, type='SpaRTAN', arch='t', out_indices=(1, 2, 3)),
    neck=dict(in_channels=[64, 128, 256]),
)
