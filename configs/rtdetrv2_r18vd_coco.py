# RT-DETRv2-S (arXiv 2407.17140): the network of RT-DETR, trained longer. The authors train with --amp.
_base_ = ['./rtdetr_r18vd_coco.py', '_base_/schedules/rtdetrv2_final_stage.py']

model = dict(xavier_init=True, data_preprocessor=dict(batch_augments=None))
optim_wrapper = dict(paramwise_cfg=dict(rules=[dict(pattern=r'\[norm\]', decay_mult=0.0)]))
custom_hooks = [*_base_.custom_hooks, dict(_base_.final_stage, final_epochs=3)]
train_cfg = dict(max_epochs=120)
