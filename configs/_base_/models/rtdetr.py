# RT-DETR without a backbone: hidden 256, expansion 1.0, 6 decoder layers. The number of classes is set in bbox_head.
model = dict(
    type='RTDETR',
    num_queries=300,
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[0.0, 0.0, 0.0],
        std=[255.0, 255.0, 255.0],
        bgr_to_rgb=True,
        pad_size_divisor=32,
        non_blocking=True,  # copies images from pinned memory while the GPU is still busy with the step before
        batch_augments=[
            dict(
                type='BatchRandomChoiceResize',
                sizes=[480, 512, 544, 576, 608, 640, 640, 640, 672, 704, 736, 768, 800],
                interpolation='nearest',
            )
        ],
    ),
    neck=dict(type='HybridEncoder', hidden_channels=256, feedforward_channels=1024, expansion=1.0),
    decoder=dict(
        num_layers=6,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=256, num_heads=8, dropout=0.0),
            cross_attn_cfg=dict(embed_dims=256, num_heads=8, num_levels=3, num_points=4, dropout=0.0),
            ffn_cfg=dict(embed_dims=256, feedforward_channels=1024, ffn_drop=0.0),
        ),
    ),
    bbox_head=dict(
        type='RTDETRHead',
        num_classes=80,
        embed_dims=256,
        loss_cls=dict(type='IoUVarifocalLoss', alpha=0.75, gamma=2.0, loss_weight=1.0),
        loss_bbox=dict(type='L1Loss', loss_weight=5.0),
        loss_iou=dict(type='GIoULoss', loss_weight=2.0),
    ),
    dn_cfg=dict(num_denoising=100, label_noise=0.5, box_noise=1.0),
    train_cfg=dict(
        assigner=dict(
            type='HungarianAssigner',
            match_costs=[
                dict(type='FocalLossCost', weight=2.0, alpha=0.25, gamma=2.0, eps=1e-8),
                dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
                dict(type='IoUCost', iou_mode='giou', weight=2.0),
            ],
        )
    ),
    test_cfg=dict(max_per_img=300),
)
