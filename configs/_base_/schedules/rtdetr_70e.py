# RT-DETR's recipe with the 70 epochs of the SpaRTAN paper.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=1e-4),
    clip_grad=dict(max_norm=0.1, norm_type=2),
    constructor='RegexOptimWrapperConstructor',
    paramwise_cfg=dict(
        rules=[
            dict(pattern=r'^backbone\..*\[norm\]', lr_mult=0.1, decay_mult=0.0),
            dict(pattern=r'^backbone\.', lr_mult=0.1),
            dict(pattern=r'\[norm\]|bias$', decay_mult=0.0),
        ]
    ),
)
param_scheduler = [dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=2000)]

# decay 0.9999 * (1 - exp(-t / 2000)) over parameters and buffers
custom_hooks = [
    dict(
        type='EMAHook', ema_type='ForeachExpMomentumEMA', momentum=0.0001, gamma=2000, update_buffers=True, priority=49
    ),
    dict(type='NumClassCheckHook'),  # bbox_head.num_classes against the dataset's classes
]

train_cfg = dict(by_epoch=True, max_epochs=70, val_interval=1)
val_cfg = dict()
test_cfg = dict()
sync_bn = 'torch'

# for --auto-scale-lr: 8 GPUs x 2 images
auto_scale_lr = dict(base_batch_size=16, enable=False)
