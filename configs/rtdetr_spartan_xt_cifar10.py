# RT-DETR with SpaRTAN-XT on scenes with the photographs of CIFAR-10 (tools/dataset_converters/cifar10_to_coco.py): the
# start of a detector of one's own, about 70 minutes on one core of a CPU.
_base_ = './rtdetr_spartan_xt_digits.py'

data_root = 'data/cifar10_coco/'
how_to_get_data = 'python tools/dataset_converters/cifar10_to_coco.py --out data/cifar10_coco'
metainfo = dict(
    classes=('airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck'),
)

model = dict(
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='mmspartan://spartan_xt_cifar10', prefix='backbone.')),
)

train_pipeline = [*_base_.train_pipeline[:-1], dict(type='RandomFlip', prob=0.5), _base_.train_pipeline[-1]]
_dataset = dict(data_root=data_root, metainfo=metainfo)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline, **_dataset))
val_dataloader = dict(dataset=_dataset)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'val.json')
test_evaluator = val_evaluator

max_epochs = 8
param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], end=max_epochs)]
train_cfg = dict(max_epochs=max_epochs)
