# DEIM-D-FINE-S, see deim_hgnetv2_l_coco.py.
_base_ = ['./dfine_hgnetv2_s_coco.py', '_base_/models/deim_dfine.py', '_base_/schedules/deim.py']

model = _base_.deim_model
train_dataloader = _base_.deim_dataloader
optim_wrapper = dict(
    optimizer=dict(lr=4e-4, weight_decay=1e-4),
    paramwise_cfg=dict(
        rules=[
            dict(pattern=r'\[norm\]', decay_mult=0.0),
            dict(pattern=r'^backbone\.', lr_mult=0.5),
        ]
    ),
)
param_scheduler = [_base_.warm_up, dict(_base_.annealing, begin=64, end=120)]
custom_hooks = [*_base_.custom_hooks[:-1], dict(_base_.stages, switch_epochs=[0, 4, 64, 120])]
train_cfg = dict(max_epochs=132)
