# DEIM-D-FINE-M, see deim_hgnetv2_l_coco.py.
_base_ = ['./dfine_hgnetv2_m_coco.py', '_base_/models/deim_dfine.py', '_base_/schedules/deim.py']

model = _base_.deim_model
train_dataloader = _base_.deim_dataloader
optim_wrapper = dict(
    optimizer=dict(lr=4e-4, weight_decay=1e-4),
    paramwise_cfg=dict(
        rules=[
            dict(pattern=r'\[norm\]', decay_mult=0.0),
            dict(pattern=r'^backbone\.', lr_mult=0.1),
        ]
    ),
)
param_scheduler = [_base_.warm_up, dict(_base_.annealing, begin=49, end=90)]
custom_hooks = [*_base_.custom_hooks[:-1], dict(_base_.stages, switch_epochs=[0, 4, 49, 90])]
train_cfg = dict(max_epochs=102)
