# Discrete sampling, see rtdetrv2_r18vd_dsp_coco.py.
_base_ = './rtdetrv2_r50vd_m_coco.py'

model = dict(decoder=dict(layer_cfg=dict(cross_attn_cfg=dict(method='discrete'))))
train_cfg = dict(max_epochs=36)
