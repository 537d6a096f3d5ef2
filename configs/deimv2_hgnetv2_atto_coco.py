# DEIMv2-Atto (arXiv 2509.20787), at 320 pixels; see deimv2_hgnetv2_pico_coco.py. Biases decay.
_base_ = './deimv2_hgnetv2_femto_coco.py'

_recipe = _base_.recipes.atto

model = dict(
    num_queries=100,
    backbone=dict(arch='atto'),
    neck=dict(in_channels=[256], hidden_channels=64),
    decoder=dict(
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=64),
            cross_attn_cfg=dict(embed_dims=64),
            ffn_cfg=dict(embed_dims=64, feedforward_channels=160),
        ),
    ),
    bbox_head=dict(embed_dims=64),
)
train_pipeline = _recipe.strong.pipeline
test_pipeline = [_recipe.resize if step.type == 'Resize' else step for step in _base_.test_pipeline]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
optim_wrapper = dict(
    optimizer=dict(lr=2e-3),
    paramwise_cfg=dict(
        rules=[
            dict(pattern=r'^backbone\.', lr_mult=0.5),
            dict(pattern=r'\[norm\]', decay_mult=0.0),
        ]
    ),
)
custom_hooks = [*_base_.custom_hooks[:-1], dict(_base_.custom_hooks[-1], stages=_recipe.stages)]
