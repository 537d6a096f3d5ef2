# DEIM-D-FINE-N, see deim_hgnetv2_l_coco.py. The learning rate stays after its warm-up.
_base_ = ['./dfine_hgnetv2_n_coco.py', '_base_/models/deim_dfine.py', '_base_/schedules/deim_dfine.py']

model = _base_.deim_model
train_dataloader = dict(_base_.deim_dataloader, batch_size=16)  # on 8 GPUs
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
custom_hooks = [*_base_.deim_hooks, dict(_base_.stages, switch_epochs=[0, 4, 78, 148])]
train_cfg = dict(max_epochs=160)
auto_scale_lr = dict(_base_.deim_auto_scale_lr, base_batch_size=128)
