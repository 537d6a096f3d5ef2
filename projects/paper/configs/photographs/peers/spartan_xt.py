# SpaRTAN-XT by the recipe of configs/spartan_xt_cifar10.py with a fifth of the training images: 15 epochs, half an hour
# or less on one core of a CPU. The other networks of this folder inherit from it. All images: --cfg-options
# train_dataloader.dataset.indices=None
_base_ = '../../../../../configs/spartan_xt_cifar10.py'

train_dataloader = dict(dataset=dict(indices=range(0, 50000, 5)))
