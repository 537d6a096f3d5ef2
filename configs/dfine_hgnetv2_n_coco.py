# Two levels, of strides 16 and 32; one size, and 8 GPUs x 16 images.
_base_ = './dfine_hgnetv2_s_coco.py'

model = dict(
    num_levels=2,
    backbone=dict(out_indices=(2, 3)),
    neck=dict(in_channels=[512, 1024], hidden_channels=128, feedforward_channels=512, num_blocks=2, expansion=0.34),
    decoder=dict(
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=128),
            cross_attn_cfg=dict(embed_dims=128, num_levels=2, num_points=6),
            ffn_cfg=dict(embed_dims=128, feedforward_channels=512),
        ),
    ),
    bbox_head=dict(embed_dims=128),
    data_preprocessor=dict(batch_augments=None),
)
optim_wrapper = dict(optimizer=dict(lr=8e-4))
train_cfg = dict(max_epochs=160)
train_dataloader = dict(batch_size=16)
auto_scale_lr = dict(base_batch_size=128)
