# DEIM-D-FINE-N, see deim_hgnetv2_l_coco.py. The learning rate stays after its warm-up.
_base_ = ['./dfine_hgnetv2_n_coco.py', '_base_/models/deim_dfine.py', '_base_/schedules/deim.py']

model = _base_.deim_model
train_dataloader = _base_.deim_dataloader
optim_wrapper = dict(
    optimizer=dict(lr=8e-4, weight_decay=1e-4),
    paramwise_cfg=dict(
        rules=[
            dict(pattern=r'^backbone\.', lr_mult=0.5),
            dict(pattern=r'\[norm\]|bias$', decay_mult=0.0),
        ]
    ),
)
param_scheduler = [_base_.warm_up]
custom_hooks = [*_base_.custom_hooks[:-1], dict(_base_.stages, switch_epochs=[0, 4, 78, 148])]
train_cfg = dict(max_epochs=160)
