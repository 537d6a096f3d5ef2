# RT-DETR of the digits with DEIM's loss and stages of augmentation, to compare the two on few images. The flips of
# these stages suit no digits.
_base_ = ['./rtdetr_spartan_xt_digits.py', '_base_/models/deim.py', '_base_/schedules/deim.py']

model = _base_.deim_model
train_dataloader = _base_.deim_dataloader
custom_hooks = [*_base_.custom_hooks, dict(_base_.stages_128, switch_epochs=[0, 1, 3, 5])]
