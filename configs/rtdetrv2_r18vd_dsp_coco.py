# Discrete sampling, without grid_sample. Its offsets are frozen: train from weights of rtdetrv2_r18vd_coco, by
# --cfg-options load_from=CKPT.
_base_ = './rtdetrv2_r18vd_coco.py'

model = dict(decoder=dict(layer_cfg=dict(cross_attn_cfg=dict(method='discrete'))))
train_cfg = dict(max_epochs=36)
