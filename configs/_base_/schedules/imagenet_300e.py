# Paper Sec. IV-A1 and the authors' implementation.
optim_wrapper = dict(
    type='AmpOptimWrapper',
    loss_scale='dynamic',
    optimizer=dict(type='AdamW', lr=2.5e-3, weight_decay=0.03),
    constructor='RegexOptimWrapperConstructor',  # two groups, where mmengine's own makes one of each parameter
    # no decay for biases, norms, gamma and VAN's LayerScale; SpaRTAN's and the complex weights do decay
    paramwise_cfg=dict(rules=[dict(pattern=r'\[norm\]|bias$|\.gamma$|layer_scale_\d$', decay_mult=0.0)]),
)

param_scheduler = [
    # 1e-4 + (2.5e-3 - 1e-4) * e / 20; end_factor is the value of epoch 19
    dict(type='LinearLR', start_factor=0.04, end_factor=0.952, begin=0, end=20),
    dict(type='UnshiftedCosineAnnealingLR', T_max=300, eta_min=1e-6, begin=20, end=300),
]

train_cfg = dict(by_epoch=True, max_epochs=300, val_interval=1)
val_cfg = dict()
test_cfg = dict()

# for --auto-scale-lr: 8 GPUs x 256 images
auto_scale_lr = dict(base_batch_size=2048, enable=False)
