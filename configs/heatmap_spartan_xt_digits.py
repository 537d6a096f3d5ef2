# Top-down heat maps on SpaRTAN-XT in MMPose: the four extreme points of handwritten digits, minutes on a CPU.
_base_ = ['./_base_/default_runtime.py', './_base_/schedules/digits_6e.py']

default_scope = 'mmpose'
data_root = 'data/digits_dense/'
how_to_get_data = 'python tools/dataset_converters/digits_to_coco.py --out data/digits_dense --masks --keypoints'
metainfo = dict(
    dataset_name='digits',
    keypoint_info={
        i: dict(id=i, name=name, type='', swap='', color=[255, 128, 0])
        for i, name in enumerate(('top', 'right', 'bottom', 'left'))
    },
    skeleton_info={},
    joint_weights=[1.0] * 4,
    sigmas=[0.05] * 4,
)
codec = dict(type='MSRAHeatmap', input_size=(64, 64), heatmap_size=(16, 16), sigma=1)

model = dict(
    type='TopdownPoseEstimator',
    data_preprocessor=dict(
        type='PoseDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True
    ),
    # LayerScale from 1e-5 is made for long training
    backbone=dict(type='SpaRTAN', arch='xt', out_indices=(3,), layer_scale_init_value=0.1),
    head=dict(
        type='HeatmapHead',
        in_channels=192,
        out_channels=4,
        deconv_out_channels=(96, 64, 64),
        deconv_kernel_sizes=(4, 4, 4),
        loss=dict(type='KeypointMSELoss', use_target_weight=True),
        decoder=codec,
    ),
    test_cfg=dict(flip_test=False),
)

train_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='RandomBBoxTransform', scale_factor=(0.8, 1.2), rotate_factor=0),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='GenerateTarget', encoder=codec),
    dict(type='PackPoseInputs'),
]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='TopdownAffine', input_size=codec['input_size']),
    dict(type='PackPoseInputs'),
]

train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='CocoDataset',
        data_root=data_root,
        data_mode='topdown',
        metainfo=metainfo,
        ann_file='train.json',
        data_prefix=dict(img='train/'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CocoDataset',
        data_root=data_root,
        data_mode='topdown',
        metainfo=metainfo,
        ann_file='val.json',
        data_prefix=dict(img='val/'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='PCKAccuracy', thr=0.1)  # within a tenth of the box
test_evaluator = val_evaluator

default_hooks = dict(
    checkpoint=dict(save_best='PCK', rule='greater'),
    logger=dict(interval=10),
    visualization=dict(type='PoseVisualizationHook', enable=False),
)
visualizer = dict(type='PoseLocalVisualizer', vis_backends=_base_.vis_backends, name='visualizer')
randomness = dict(seed=0)
auto_scale_lr = dict(base_batch_size=32, enable=False)
