# SegFormer's head on SpaRTAN-XT in MMSegmentation: digits against the background, minutes on a CPU.
_base_ = ['./_base_/default_runtime.py', './_base_/schedules/digits_6e.py']

default_scope = 'mmseg'
data_root = 'data/digits_dense/'
how_to_get_data = 'python tools/dataset_converters/digits_to_coco.py --out data/digits_dense --masks --keypoints'
classes = ('background', *'0123456789')

model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size_divisor=32,
    ),
    # LayerScale from 1e-5 is made for long training
    backbone=dict(type='SpaRTAN', arch='xt', out_indices=(0, 1, 2, 3), layer_scale_init_value=0.1),
    decode_head=dict(
        type='SegformerHead',
        in_channels=[32, 64, 96, 192],
        in_index=[0, 1, 2, 3],
        channels=128,
        dropout_ratio=0.1,
        num_classes=11,
        norm_cfg=dict(type='BN'),
        align_corners=False,
        # most pixels are background
        loss_decode=dict(type='CrossEntropyLoss', class_weight=[0.1] + [1.0] * 10),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(128, 128), keep_ratio=False),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]

train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='BaseSegDataset',
        data_root=data_root,
        metainfo=dict(classes=classes),
        img_suffix='.png',
        data_prefix=dict(img_path='train', seg_map_path='train_masks'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='BaseSegDataset',
        data_root=data_root,
        metainfo=dict(classes=classes),
        img_suffix='.png',
        data_prefix=dict(img_path='val', seg_map_path='val_masks'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator

optim_wrapper = dict(optimizer=dict(lr=1e-3), clip_grad=dict(max_norm=1.0))

default_hooks = dict(
    checkpoint=dict(save_best='mIoU', rule='greater'),
    logger=dict(interval=10),
    visualization=dict(type='SegVisualizationHook'),
)
visualizer = dict(type='SegLocalVisualizer', vis_backends=_base_.vis_backends, name='visualizer')
randomness = dict(seed=0)
auto_scale_lr = dict(base_batch_size=8, enable=False)
