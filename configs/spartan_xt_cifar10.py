# SpaRTAN-XT on the photographs of CIFAR-10, enlarged to 64 pixels: at 32, two thirds of the blocks would see 2 x 2
# positions or fewer. The first nine epochs see 32 pixels all the same, at half of the time of an epoch.
_base_ = ['_base_/models/spartan_xt_cls.py', '_base_/classification_runtime.py']

custom_imports = dict(imports=['mmspartan', 'mmspartan.datasets.cifar10'], allow_failed_imports=False)

model = dict(
    data_preprocessor=dict(num_classes=10),
    # LayerScale from 1e-5 is made for 300 epochs
    backbone=dict(drop_path_rate=0.0, layer_scale_init_value=0.1),
    head=dict(num_classes=10, loss=dict(_delete_=True, type='LabelSmoothLoss', label_smooth_val=0.1)),
    train_cfg=None,  # neither Mixup nor CutMix
)

data_root = 'data/cifar10'
how_to_get_data = 'mkdir -p data/cifar10, into which mmpretrain downloads CIFAR-10'
image_size = 64
train_pipeline = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='Resize', scale=image_size, interpolation='bilinear'),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='mmpretrain.Resize', scale=image_size, interpolation='bilinear'),
    dict(type='mmpretrain.PackInputs'),
]

small_pipeline = [*train_pipeline[:2], dict(type='PackInputs')]

train_dataloader = dict(
    batch_size=128,
    num_workers=1,
    persistent_workers=True,
    dataset=dict(type='BGRCIFAR10', data_root=data_root, split='train', pipeline=small_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    drop_last=True,
)
val_dataloader = dict(
    batch_size=256,
    num_workers=1,
    persistent_workers=True,
    dataset=dict(type='BGRCIFAR10', data_root=data_root, split='test', test_mode=True, pipeline=test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=(1,))
test_evaluator = val_evaluator

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=3e-3, weight_decay=0.05, fused=True),
    constructor='RegexOptimWrapperConstructor',
    paramwise_cfg=dict(rules=[dict(pattern=r'\[norm\]|bias$|\.gamma$', decay_mult=0.0)]),
)
max_epochs = 15
small_epochs = 9
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=400),
    dict(type='CosineAnnealingLR', eta_min=1e-5, begin=0, end=max_epochs, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_begin=small_epochs + 1)
custom_hooks = [
    dict(
        type='mmpretrain.SwitchRecipeHook',
        schedule=[dict(action_epoch=small_epochs + 1, train_pipeline=train_pipeline)],
    ),
]
val_cfg = dict()
test_cfg = dict()

default_hooks = dict(logger=dict(interval=50), checkpoint=dict(save_best='accuracy/top1', max_keep_ckpts=2))
randomness = dict(seed=0)
auto_scale_lr = dict(base_batch_size=128, enable=False)
