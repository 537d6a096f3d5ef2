_base_ = [
    '_base_/models/spartan_xt_cls.py',
    '_base_/datasets/imagenet_224.py',
    '_base_/schedules/imagenet_300e.py',
    '_base_/classification_runtime.py',
]
