# A detector to look at the scripts with, not at accuracy. Data: digits_to_coco.py --out digits --size 64.
_base_ = __import__('mmspartan').config_path('rtdetr_spartan_xt_digits')

custom_imports = dict(imports=['mmspartan'], allow_failed_imports=False)
model = dict(
    num_queries=10,
    data_preprocessor=dict(batch_augments=None),
    backbone=dict(arch=dict(_delete_=True, channels=(8, 16, 24, 32), depths=(1, 1, 1, 1), expand_ratios=(2, 2, 2, 2))),
    neck=dict(in_channels=[16, 24, 32], expansion=1.0),
    decoder=dict(num_layers=1),
    test_cfg=dict(max_per_img=10),
)
_train = [
    dict(type='LoadImageFromFile', backend_args=dict(backend='picture')),
    dict(type='CheckPicture'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(64, 64), keep_ratio=False),
    dict(type='PackDetInputs'),
]
_test = [
    dict(type='LoadImageFromFile', backend_args=dict(backend='picture')),
    dict(type='CheckPicture'),
    dict(type='Resize', scale=(64, 64), keep_ratio=False),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
train_dataloader = dict(
    batch_size=4, num_workers=0, persistent_workers=False, dataset=dict(data_root='digits/', pipeline=_train)
)
val_dataloader = dict(
    batch_size=4, num_workers=0, persistent_workers=False, dataset=dict(data_root='digits/', pipeline=_test)
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file='digits/val.json')
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=1, val_interval=1)
