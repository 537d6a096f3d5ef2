# RT-DETR with SpaRTAN-XT on scenes of handwritten digits, in two thirds of the steps of the config that it inherits.
_base_ = '../../../../configs/rtdetr_spartan_xt_digits.py'

max_epochs = 4
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=120),
    dict(type='CosineAnnealingLR', eta_min=1e-5, begin=0, end=max_epochs, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
default_hooks = dict(checkpoint=dict(interval=max_epochs, save_best=None))
