# RT-DETRv2's last epochs: one size, and neither distortion nor expansion nor crops. A leaf config sets final_epochs.
final_stage = dict(
    type='FinalStageHook',
    pipeline=[
        dict(type='LoadImageFromFile', backend_args=dict(backend='picture')),
        dict(type='CheckPicture'),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(type='FilterAnnotations', min_gt_bbox_wh=(1, 1), keep_empty=True),
        dict(type='RandomFlip', prob=0.5),
        dict(type='Resize', scale=(640, 640), keep_ratio=False),
        dict(type='PackDetInputs'),
    ],
)
