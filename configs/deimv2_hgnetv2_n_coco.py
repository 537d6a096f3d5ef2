# DEIMv2-N (arXiv 2509.20787): DEIM-D-FINE-N with sums in the encoder, and a decoder of fewer parameters. 8 GPUs x 4
# images; the learning rate stays after its warm-up. The authors train with --amp.
_base_ = ['./dfine_hgnetv2_n_coco.py', '_base_/models/deimv2.py', '_base_/schedules/deimv2.py']

_recipe = _base_.recipes.n

model = _base_.deim_model
train_pipeline = _recipe.strong.pipeline
train_dataloader = dict(batch_size=4, dataset=dict(_base_.deim_dataloader.dataset, pipeline=train_pipeline))
auto_scale_lr = dict(base_batch_size=32)
optim_wrapper = dict(
    optimizer=dict(lr=8e-4, weight_decay=1e-4),
    paramwise_cfg=dict(
        rules=[
            dict(pattern=r'^backbone\.', lr_mult=0.5),
            dict(pattern=r'\[norm\]|bias$', decay_mult=0.0),
        ]
    ),
)
param_scheduler = [_base_.warm_up]
custom_hooks = [
    *_base_.custom_hooks[:-1],
    dict(
        type='StageHook',
        switch_epochs=[0, 4, 78, 136, 148],
        stages=[
            _recipe.plain,
            dict(
                _recipe.dense,
                batch_augments=[
                    dict(_base_.stages.stages[1].batch_augments[0], otherwise=dict(type='BatchCopyBlend', prob=0.4))
                ],
            ),
            _recipe.strong,
            dict(_recipe.strong, **_base_.last_match),
            dict(_recipe.plain, **_base_.last_match, from_best=True),
        ],
    ),
]
train_cfg = dict(max_epochs=160)
