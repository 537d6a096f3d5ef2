# DEIMv2-Femto (arXiv 2509.20787), at 416 pixels; see deimv2_hgnetv2_pico_coco.py.
_base_ = './deimv2_hgnetv2_pico_coco.py'

_recipe = _base_.recipes.femto

model = dict(
    num_queries=150,
    backbone=dict(arch='femto'),
    neck=dict(hidden_channels=96),
    decoder=dict(
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=96),
            cross_attn_cfg=dict(embed_dims=96),
            ffn_cfg=dict(embed_dims=96, feedforward_channels=256),
        ),
    ),
    bbox_head=dict(embed_dims=96),
)
train_pipeline = _recipe.strong.pipeline
test_pipeline = [_recipe.resize if step.type == 'Resize' else step for step in _base_.test_pipeline]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
custom_hooks = [*_base_.custom_hooks[:-1], dict(_base_.custom_hooks[-1], stages=_recipe.stages)]
