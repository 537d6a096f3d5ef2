# EfficientFormerV2-S0 (Li et al., 2023) of timm by the recipe of the paper, without distillation.
_base_ = '../../../../configs/spartan_t_in1k.py'

model = dict(
    _delete_=True,
    type='TimmClassifier',
    model_name='efficientformerv2_s0',
    drop_path_rate=0.1,
    data_preprocessor=_base_.model.data_preprocessor,
    loss=_base_.model.head.loss,
    train_cfg=_base_.model.train_cfg,
)
