# The widths of encoder and decoder are those of D-FINE-N, with two levels of strides 16 and 32.
_base_ = './dfine_hgnetv2_n_coco.py'

model = dict(
    backbone=dict(_delete_=True, type='SpaRTAN', arch='xt', out_indices=(2, 3)),
    neck=dict(in_channels=[96, 192]),
)
