# D-FINE's recipe, for 8 GPUs x 4 images. A leaf config sets the final_epochs of final_stage.
_base_ = ['./rtdetr_70e.py', './rtdetrv2_final_stage.py']

optim_wrapper = dict(
    optimizer=dict(lr=2.5e-4, weight_decay=1.25e-4),
    paramwise_cfg=dict(
        rules=[
            dict(pattern=r'^backbone\.', lr_mult=0.05),
            dict(pattern=r'\[norm\]', decay_mult=0.0),
        ]
    ),
)
param_scheduler = [dict(type='LinearLR', start_factor=0.002, by_epoch=False, begin=0, end=500)]
custom_hooks = [dict(_base_.custom_hooks[0], gamma=1000), *_base_.custom_hooks[1:]]
final_stage = dict(from_best=True)
train_cfg = dict(max_epochs=80)
auto_scale_lr = dict(base_batch_size=32)
