# mmdet's Deformable DETR with box refinement, ResNet-50 and 50 epochs, in this package's runs.
_base_ = 'mmdet::deformable_detr/deformable-detr-refine_r50_16xb2-50e_coco.py'

how_to_get_data = (
    'put COCO 2017 under data/coco/{annotations,train2017,val2017}: cocodataset.org/#download, or '
    'mim download mmdet --dataset coco2017'
)

custom_imports = dict(imports=['mmspartan'], allow_failed_imports=False)
runner_type = 'ResumableRunner'
default_hooks = dict(
    checkpoint=dict(
        type='SafeCheckpointHook', max_keep_ckpts=3, save_best='auto', backend_args=dict(backend='atomic_local')
    )
)
train_dataloader = dict(dataset=dict(type='CheckedCocoDataset'))
val_dataloader = dict(dataset=dict(type='CheckedCocoDataset'))
test_dataloader = dict(dataset=dict(type='CheckedCocoDataset'))
val_evaluator = dict(type='CheckedCocoMetric')
test_evaluator = dict(type='CheckedCocoMetric')
