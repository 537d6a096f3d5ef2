# RT-DETR with SpaRTAN-XT on scenes of handwritten digits (tools/dataset_converters/digits_to_coco.py), from scratch:
# ten minutes on two cores of a CPU. The same classes as for COCO, smaller.
_base_ = ['_base_/models/rtdetr.py', '_base_/detection_runtime.py']

data_root = 'data/digits_coco/'
how_to_get_data = 'python tools/dataset_converters/digits_to_coco.py --out data/digits_coco'
metainfo = dict(classes=tuple('0123456789'))

model = dict(
    num_queries=40,
    # multi-scale training: also a fifth less computation than at 128 pixels alone
    data_preprocessor=dict(batch_augments=[dict(type='BatchRandomChoiceResize', sizes=[96, 128])]),
    # LayerScale from 1e-5 is made for long training
    backbone=dict(
        type='SpaRTAN',
        arch='xt',
        out_indices=(1, 2, 3),
        layer_scale_init_value=0.1,
    ),
    neck=dict(in_channels=[64, 96, 192], hidden_channels=128, feedforward_channels=256, expansion=0.5),
    decoder=dict(
        num_layers=3,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=128),
            cross_attn_cfg=dict(embed_dims=128),
            ffn_cfg=dict(embed_dims=128, feedforward_channels=256),
        ),
    ),
    bbox_head=dict(num_classes=10, embed_dims=128),
    dn_cfg=dict(num_denoising=40),
    test_cfg=dict(max_per_img=40),
)

train_pipeline = [
    dict(type='LoadImageFromFile', backend_args=dict(backend='picture')),
    dict(type='CheckPicture'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(128, 128), keep_ratio=False),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile', backend_args=dict(backend='picture')),
    dict(type='CheckPicture'),
    dict(type='Resize', scale=(128, 128), keep_ratio=False),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='CheckedCocoDataset',
        data_root=data_root,
        metainfo=metainfo,
        ann_file='train.json',
        data_prefix=dict(img='train/'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CheckedCocoDataset',
        data_root=data_root,
        metainfo=metainfo,
        ann_file='val.json',
        data_prefix=dict(img='val/'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='CheckedCocoMetric', ann_file=data_root + 'val.json', metric='bbox')
test_evaluator = val_evaluator

max_epochs = 6
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=1e-4, fused=True),  # plain where torch has no fused one
    clip_grad=dict(max_norm=1.0, norm_type=2),
    constructor='RegexOptimWrapperConstructor',
    paramwise_cfg=dict(rules=[dict(pattern=r'\[norm\]|bias$', decay_mult=0.0)]),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=120),
    dict(type='CosineAnnealingLR', eta_min=1e-5, begin=0, end=max_epochs, convert_to_iter_based=True),
]
custom_hooks = [
    dict(type='RunLengthEMAHook', horizon=0.04, priority=49),
    dict(type='NumClassCheckHook'),
]
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=2)
val_cfg = dict()
test_cfg = dict()

visualizer = dict(min_side=480, font_size=24, line_width=3)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(save_best='coco/bbox_mAP'))
randomness = dict(seed=0)
auto_scale_lr = dict(base_batch_size=8, enable=False)
