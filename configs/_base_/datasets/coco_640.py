# COCO 2017 as RT-DETR augments and evaluates it.
how_to_get_data = (
    'put COCO 2017 under data/coco/{annotations,train2017,val2017}: cocodataset.org/#download, or '
    'mim download mmdet --dataset coco2017'
)

train_pipeline = [
    dict(type='LoadImageFromFile', backend_args=dict(backend='picture')),
    dict(type='CheckPicture'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomApply', transforms=[dict(type='PhotoMetricDistortion')], prob=0.5),
    dict(
        type='CropFirst',  # the same as both in a row, faster
        transforms=[
            dict(type='Expand', mean=[0, 0, 0], ratio_range=(1, 4), prob=0.5),
            dict(type='RandomApply', transforms=[dict(type='MinIoURandomCrop')], prob=0.8),
        ],
    ),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1, 1), keep_empty=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='Resize', scale=(640, 640), keep_ratio=False),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile', backend_args=dict(backend='picture')),
    dict(type='CheckPicture'),
    dict(type='Resize', scale=(640, 640), keep_ratio=False),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]

train_dataloader = dict(
    batch_size=2,  # on 8 GPUs
    num_workers=4,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='CheckedCocoDataset',
        data_root='data/coco/',
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
        filter_cfg=dict(filter_empty_gt=False),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    pin_memory=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CheckedCocoDataset',
        data_root='data/coco/',
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017/'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='CheckedCocoMetric', ann_file='data/coco/annotations/instances_val2017.json', metric='bbox')
test_evaluator = val_evaluator
