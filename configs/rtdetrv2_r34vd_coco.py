# RT-DETRv2-M*, see rtdetrv2_r18vd_coco.py.
_base_ = ['./rtdetr_r34vd_coco.py', '_base_/schedules/rtdetrv2_final_stage.py']

model = dict(xavier_init=True)
optim_wrapper = dict(
    paramwise_cfg=dict(
        rules=[
            dict(pattern=r'^backbone\..*\[norm\]', lr_mult=0.5, decay_mult=0.0),
            dict(pattern=r'^backbone\.', lr_mult=0.5),
            dict(pattern=r'\[norm\]|bias$', decay_mult=0.0),
        ]
    )
)
custom_hooks = [*_base_.custom_hooks, dict(_base_.final_stage, final_epochs=3)]
train_cfg = dict(max_epochs=120)
