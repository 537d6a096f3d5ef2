# RT-DETRv2-M: a narrower encoder, and three of the six decoder layers in evaluation.
_base_ = './rtdetrv2_r50vd_coco.py'

model = dict(neck=dict(expansion=0.5), test_cfg=dict(num_decoder_layers=3))
custom_hooks = [*_base_.custom_hooks[:-1], dict(_base_.final_stage, final_epochs=3)]
train_cfg = dict(max_epochs=84)
