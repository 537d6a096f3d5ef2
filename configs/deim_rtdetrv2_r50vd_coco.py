# DEIM-RT-DETRv2-L, see deim_rtdetrv2_r18vd_coco.py. No part of the backbone is frozen.
_base_ = ['./rtdetrv2_r50vd_coco.py', '_base_/models/deim.py', '_base_/schedules/deim.py']

model = dict(_base_.deim_model, backbone=dict(frozen_stages=-1, norm_cfg=dict(requires_grad=True), norm_eval=False))
train_dataloader = _base_.deim_dataloader
optim_wrapper = dict(
    optimizer=dict(lr=2e-4),
    paramwise_cfg=dict(
        rules=[
            dict(pattern=r'\[norm\]', decay_mult=0.0),
            dict(pattern=r'^backbone\.', lr_mult=0.1),
        ]
    ),
)
param_scheduler = [_base_.warm_up, dict(_base_.annealing, begin=34, end=58)]
custom_hooks = [*_base_.custom_hooks[:-1], dict(_base_.stages, switch_epochs=[0, 4, 34, 58])]
train_cfg = dict(max_epochs=60)
