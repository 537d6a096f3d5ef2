# DEIM's recipe for D-FINE-S, whose widths encoder and decoder have.
_base_ = './deim_hgnetv2_s_coco.py'

model = dict(
    backbone=dict(_delete_=True, type='SpaRTAN', arch='t', out_indices=(1, 2, 3)),
    neck=dict(in_channels=[64, 128, 256]),
)
