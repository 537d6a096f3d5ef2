# ImageNet-1k as the authors augment and evaluate it.
how_to_get_data = 'put ImageNet-1k under data/imagenet/{train,val}, a folder a class: image-net.org/download.php'

train_pipeline = [
    dict(type='LoadImageFromFile', backend_args=dict(backend='picture')),
    dict(type='CheckPicture'),
    dict(type='RandomResizedCrop', scale=224, backend='pillow', interpolation='bilinear'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    # torchvision's: magnitude 7 of 31 bins is weaker than 7 of mmpretrain's 10
    dict(type='NumpyToPIL', to_rgb=True),
    dict(type='torchvision/RandAugment', num_ops=2, magnitude=7, interpolation='bilinear'),
    dict(type='PILToNumpy', to_bgr=True),
    # erased to 0 after normalization, which before it is the mean, here in whole grey values, BGR
    dict(
        type='RandomErasing',
        erase_prob=0.25,
        mode='const',
        min_area_ratio=0.02,
        max_area_ratio=0.33,
        aspect_range=(0.3, 3.3),
        fill_color=[104, 116, 124],
    ),
    dict(type='PackInputs'),
]

# with the scope, since an inferencer of mmdet leaves its own behind (LoadImageFromFile is mmcv's)
test_pipeline = [
    dict(type='LoadImageFromFile', backend_args=dict(backend='picture')),
    dict(type='CheckPicture'),
    dict(type='mmpretrain.ResizeEdge', scale=224, edge='short', backend='pillow', interpolation='bilinear'),
    dict(type='mmpretrain.CenterCrop', crop_size=224),
    dict(type='mmpretrain.PackInputs'),
]

train_dataloader = dict(
    batch_size=256,  # on 8 GPUs; the authors had 4 with 512
    num_workers=8,
    dataset=dict(type='ImageNet', data_root='data/imagenet', split='train', pipeline=train_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    drop_last=True,
    pin_memory=True,
    persistent_workers=True,
)

val_dataloader = dict(
    batch_size=256,
    num_workers=8,
    dataset=dict(type='ImageNet', data_root='data/imagenet', split='val', pipeline=test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    pin_memory=True,
    persistent_workers=True,
)
test_dataloader = val_dataloader

val_evaluator = dict(type='Accuracy', topk=(1, 5))
test_evaluator = val_evaluator

# tools/test.py --tta: mean over the image and its mirror image
tta_model = dict(type='AverageClsScoreTTA')
tta_pipeline = [
    *test_pipeline[:-1],
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='RandomFlip', prob=1.0), dict(type='RandomFlip', prob=0.0)],
            [dict(type='PackInputs')],
        ],
    ),
]
