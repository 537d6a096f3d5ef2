# RT-DETR-R50-m: a narrower encoder, and three of the six decoder layers in evaluation.
_base_ = './rtdetr_r50vd_coco.py'

model = dict(neck=dict(expansion=0.5), test_cfg=dict(num_decoder_layers=3))
