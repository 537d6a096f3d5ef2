# DEIM-D-FINE-X, see deim_hgnetv2_l_coco.py. No part of the backbone is frozen.
_base_ = ['./dfine_hgnetv2_x_coco.py', '_base_/models/deim_dfine.py', '_base_/schedules/deim.py']

model = dict(_base_.deim_model, backbone=dict(frozen_stem=False, frozen_norm=False))
train_dataloader = _base_.deim_dataloader
optim_wrapper = dict(
    optimizer=dict(lr=5e-4, weight_decay=1.25e-4),
    paramwise_cfg=dict(
        rules=[
            dict(pattern=r'^backbone\.', lr_mult=0.01),
            dict(pattern=r'\[norm\]', decay_mult=0.0),
        ]
    ),
)
param_scheduler = [_base_.warm_up, dict(_base_.annealing, begin=29, end=50)]
custom_hooks = [*_base_.custom_hooks[:-1], dict(_base_.stages, switch_epochs=[0, 4, 29, 50])]
train_cfg = dict(max_epochs=58)
