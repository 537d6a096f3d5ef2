# SpaRTAN-XT by the recipe of configs/spartan_xt_cifar10.py, shortened: a fifth of the training images for 10 epochs, of
# which six see 32 pixels. 10 to 25 minutes on one core of a CPU. The other networks of this folder inherit from it.
_base_ = '../../../../../configs/spartan_xt_cifar10.py'

train_dataloader = dict(dataset=dict(indices=range(0, 50000, 5)))

max_epochs = 10
small_epochs = 6
warm_up, cosine = _base_.param_scheduler
param_scheduler = [dict(warm_up, end=80), dict(cosine, end=max_epochs)]  # a warm-up of an epoch
train_cfg = dict(max_epochs=max_epochs, val_begin=max_epochs)
custom_hooks = [
    dict(
        type='mmpretrain.SwitchRecipeHook',
        schedule=[dict(action_epoch=small_epochs + 1, train_pipeline=_base_.train_pipeline)],
    ),
]
