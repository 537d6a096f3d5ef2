_base_ = './rtdetr_r18vd_coco.py'

model = dict(backbone=dict(depth=34), decoder=dict(num_layers=4))
