# RT-DETRv2-X, see rtdetrv2_r18vd_coco.py.
_base_ = ['./rtdetr_r101vd_coco.py', '_base_/schedules/rtdetrv2_final_stage.py']

model = dict(xavier_init=True)
optim_wrapper = dict(
    paramwise_cfg=dict(
        rules=[
            dict(pattern=r'^backbone\.', lr_mult=0.01),
            dict(pattern=r'\[norm\]', decay_mult=0.0),
        ]
    )
)
custom_hooks = [*_base_.custom_hooks, dict(_base_.final_stage, final_epochs=1)]
