_base_ = './imagenet_224.py'

train_pipeline = _base_.train_pipeline
test_pipeline = _base_.test_pipeline
tta_pipeline = _base_.tta_pipeline
for _transform in [*train_pipeline, *test_pipeline, *tta_pipeline]:
    if _transform['type'] in ('RandomResizedCrop', 'mmpretrain.ResizeEdge'):
        _transform['scale'] = 256
    elif _transform['type'] == 'mmpretrain.CenterCrop':
        _transform['crop_size'] = 256
del _transform  # no entry of the config

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
