# SpaRTAN-XT on the handwritten digits inside scikit-learn: minutes on a laptop's CPU.
_base_ = ['_base_/models/spartan_xt_cls.py', '_base_/classification_runtime.py']

custom_imports = dict(imports=['mmspartan', 'mmspartan.datasets.digits'], allow_failed_imports=False)

model = dict(
    data_preprocessor=dict(num_classes=10, mean=[78.0] * 3, std=[96.0] * 3, to_rgb=False),
    # LayerScale from 1e-5 is made for 300 epochs
    backbone=dict(drop_path_rate=0.05, layer_scale_init_value=0.1),
    head=dict(num_classes=10, loss=dict(use_soft=False)),
    train_cfg=None,  # neither Mixup nor CutMix
)

train_pipeline = [
    dict(type='Resize', scale=(32, 32), interpolation='bilinear'),
    dict(type='NumpyToPIL'),
    dict(type='torchvision/RandomAffine', degrees=10, translate=(0.1, 0.1), scale=(0.9, 1.1), interpolation='bilinear'),
    dict(type='PILToNumpy'),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='mmpretrain.Resize', scale=(32, 32), interpolation='bilinear'),
    dict(type='mmpretrain.PackInputs'),
]

train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    persistent_workers=True,
    dataset=dict(type='SklearnDigits', split='train', pipeline=train_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    drop_last=True,
)
val_dataloader = dict(
    batch_size=64,
    num_workers=1,
    persistent_workers=True,
    dataset=dict(type='SklearnDigits', split='test', pipeline=test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=(1,))
test_evaluator = val_evaluator

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.05, fused=True),  # plain where torch has no fused one
    constructor='RegexOptimWrapperConstructor',
    paramwise_cfg=dict(rules=[dict(pattern=r'\[norm\]|bias$|\.gamma$', decay_mult=0.0)]),
)
max_epochs = 8
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, begin=0, end=2, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=1e-5, begin=2, end=max_epochs, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=1)
val_cfg = dict()
test_cfg = dict()

default_hooks = dict(logger=dict(interval=10))
randomness = dict(seed=0)
auto_scale_lr = dict(base_batch_size=32, enable=False)
