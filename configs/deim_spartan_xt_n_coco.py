# DEIM's recipe for D-FINE-N, whose widths encoder and decoder have.
_base_ = './deim_hgnetv2_n_coco.py'

model = dict(
    backbone=dict(_delete_=True, type='SpaRTAN', arch='xt', out_indices=(2, 3)),
    neck=dict(in_channels=[96, 192]),
)
