# DEIM's recipe. A leaf config sets the epochs: of the stages in switch_epochs, of the cosine in begin and end.
_load = [
    dict(type='LoadImageFromFile', backend_args=dict(backend='picture')),
    dict(type='CheckPicture'),
    dict(type='LoadAnnotations', with_bbox=True),
]
_distort = dict(type='RandomApply', transforms=[dict(type='PhotoMetricDistortion')], prob=0.5)
_strong = [
    _distort,
    dict(
        type='CropFirst',
        transforms=[
            dict(type='Expand', mean=[0, 0, 0], ratio_range=(1, 4), prob=0.5),
            dict(type='RandomApply', transforms=[dict(type='MinIoURandomCrop')], prob=0.8),
        ],
    ),
]
_affine = dict(
    type='CenteredRandomAffine',
    max_rotate_degree=10.0,
    max_translate_ratio=0.1,
    scaling_ratio_range=(0.5, 1.5),
    max_shear_degree=0.0,
    border_val=(0, 0, 0),
)


def _stages(side):
    # for an input of side x side pixels
    pack = [
        dict(type='FilterAnnotations', min_gt_bbox_wh=(1, 1), keep_empty=True),
        dict(type='RandomFlip', prob=0.5),
        dict(type='Resize', scale=(side, side), keep_ratio=False),
        dict(type='PackDetInputs'),
    ]
    short_side = dict(type='Resize', scale=(5 * side, side // 2), keep_ratio=True)
    mosaic = [short_side, dict(type='GridMosaic', loading=[*_load, short_side]), _affine, _distort]
    dense = dict(type='RandomChoice', transforms=[mosaic, _strong], prob=[0.5, 0.5])
    return dict(
        type='StageHook',
        stages=[
            dict(pipeline=[*_load, *pack]),
            dict(
                pipeline=[*_load, dense, *pack],
                batch_augments=[dict(type='BatchMixUp', prob=0.5, ratio=(0.45, 0.55))],
            ),
            dict(pipeline=[*_load, *_strong, *pack]),
            dict(pipeline=[*_load, *pack], multi_scale=False, from_best=True),
        ],
    )


deim_dataloader = dict(dataset=dict(type='MosaicCocoDataset'))
stages, stages_128 = _stages(640), _stages(128)

# At iteration t the authors' warm-up has (max(t - 1, 0) / 2000) ** 2, this one ((t + 1) / 2000) ** 2.
warm_up = dict(type='QuadraticWarmupLR', by_epoch=False, begin=0, end=2000)
annealing = dict(type='CosineAnnealingLR', eta_min_ratio=0.5, convert_to_iter_based=True)
