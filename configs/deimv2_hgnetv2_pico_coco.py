# DEIMv2-Pico (arXiv 2509.20787): one scale of the backbone, LiteEncoder, no gates, one branch of distributions and no
# losses of them. 8 GPUs x 16 images, no mixed images. The authors train with --amp. They decay the normalization of
# the encoder's downsampling as other weights, since their patterns miss its names; here no normalization there decays.
_base_ = './deimv2_hgnetv2_n_coco.py'

_recipe = _base_.recipes.pico

model = dict(
    num_queries=200,
    backbone=dict(out_indices=(2,)),
    neck=dict(_delete_=True, type='LiteEncoder', in_channels=[512], hidden_channels=112, expansion=0.34, num_blocks=2),
    decoder=dict(
        layer_cfg=dict(
            gated=False,
            self_attn_cfg=dict(embed_dims=112),
            cross_attn_cfg=dict(embed_dims=112, num_points=[4, 2]),
            ffn_cfg=dict(embed_dims=112, feedforward_channels=320),
        ),
    ),
    bbox_head=dict(embed_dims=112, share_reg_branches=True, fgl_weight=0.0, ddf_weight=0.0),
)
train_pipeline = _recipe.strong.pipeline
train_dataloader = dict(batch_size=16, dataset=dict(pipeline=train_pipeline))
auto_scale_lr = dict(base_batch_size=128)
optim_wrapper = dict(optimizer=dict(lr=1.6e-3))
param_scheduler = [dict(_base_.warm_up, end=4000), dict(_base_.annealing, begin=250, end=468)]
custom_hooks = [
    *_base_.custom_hooks[:-1],
    dict(type='StageHook', switch_epochs=[0, 4, 250, 400, 450, 468], stages=_recipe.stages),
]
train_cfg = dict(max_epochs=500)
