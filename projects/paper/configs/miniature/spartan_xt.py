# SpaRTAN-XT with fewer channels and blocks on 1,000 images of MNIST, about a minute on one core of a CPU. The rows of
# the ablations (../ablations) at this size inherit from it.
_base_ = ['../../../../configs/_base_/models/spartan_xt_cls.py', '../../../../configs/_base_/classification_runtime.py']

custom_imports = dict(imports=['mmspartan', 'projects.paper.mnist'], allow_failed_imports=False)

model = dict(
    data_preprocessor=dict(num_classes=10, mean=[33.0] * 3, std=[79.0] * 3, to_rgb=False),
    backbone=dict(
        # expand ratios and the kinds of convolution of Table I, with fewer channels and blocks
        arch=dict(_delete_=True, channels=(16, 32, 48, 64), depths=(1, 1, 2, 1), expand_ratios=(4, 4, 2, 2)),
        drop_path_rate=0.0,
        layer_scale_init_value=0.1,  # 1e-5 is made for 300 epochs
    ),
    head=dict(num_classes=10, in_channels=64, loss=dict(use_soft=False)),
    train_cfg=None,  # neither Mixup nor CutMix
)

# 64 pixels: the stages have 16, 8, 4 and 2, of which those of 28 pixels would be too small to mix
train_pipeline = [
    dict(type='NumpyToPIL'),
    dict(type='torchvision/RandomAffine', degrees=10, translate=(0.1, 0.1), scale=(0.9, 1.1), interpolation='bilinear'),
    dict(type='PILToNumpy'),
    dict(type='Resize', scale=(64, 64), interpolation='bilinear'),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='mmpretrain.Resize', scale=(64, 64), interpolation='bilinear'),
    dict(type='mmpretrain.PackInputs'),
]

train_dataloader = dict(
    batch_size=50,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(type='MlxtendMNIST', split='train', pipeline=train_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    drop_last=True,
)
val_dataloader = dict(
    batch_size=200,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(type='MlxtendMNIST', split='test', pipeline=test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=(1,))
test_evaluator = val_evaluator

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=4e-3, weight_decay=0.05, fused=True),
    paramwise_cfg=dict(
        norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0, custom_keys={'.gamma': dict(decay_mult=0.0)}
    ),
)
max_epochs = 20
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, begin=0, end=2, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=1e-5, begin=2, end=max_epochs, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=max_epochs)
val_cfg = dict()
test_cfg = dict()

default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=max_epochs, save_best=None))
randomness = dict(seed=0)
