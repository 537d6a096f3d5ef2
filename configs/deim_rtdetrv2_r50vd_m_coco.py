# DEIM-RT-DETRv2-M*: a narrower encoder, and three decoder layers also in training, unlike RT-DETRv2-M.
_base_ = './deim_rtdetrv2_r50vd_coco.py'

model = dict(neck=dict(expansion=0.5), decoder=dict(num_layers=3))
