# DEIM-RT-DETRv2-S (arXiv 2412.04234): RT-DETRv2 with more objects an image and another loss. The authors train with
# --amp, and like RT-DETRv2-S with one size: `scales: ~` in their config, an option that their data loader lost.
_base_ = ['./rtdetrv2_r18vd_coco.py', '_base_/models/deim.py', '_base_/schedules/deim.py']

model = _base_.deim_model
train_dataloader = _base_.deim_dataloader
optim_wrapper = dict(optimizer=dict(lr=2e-4))
param_scheduler = [_base_.warm_up, dict(_base_.annealing, begin=64, end=117)]
custom_hooks = [*_base_.custom_hooks[:-1], dict(_base_.stages, switch_epochs=[0, 4, 64, 117])]
