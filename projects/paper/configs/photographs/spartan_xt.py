# The small networks of ../miniature on photographs: a fifth of the training images of CIFAR-10, enlarged to 64 pixels,
# and all of its test images. About six minutes on one core of a CPU.
_base_ = '../miniature/spartan_xt.py'

custom_imports = dict(imports=['mmspartan', 'mmspartan.datasets.cifar10'], allow_failed_imports=False)
model = dict(data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True))

how_to_get_data = 'mkdir -p data/cifar10, into which mmpretrain downloads CIFAR-10'
dataset_type, data_root = 'BGRCIFAR10', 'data/cifar10'
train_pipeline = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    *_base_.train_pipeline[-2:],
]
train_dataloader = dict(
    dataset=dict(type=dataset_type, data_root=data_root, indices=range(0, 50000, 5), pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root, test_mode=True))
test_dataloader = val_dataloader

max_epochs = 10
param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], end=max_epochs)]
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
default_hooks = dict(checkpoint=dict(interval=max_epochs))
