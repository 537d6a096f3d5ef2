# Discrete sampling, see rtdetrv2_r18vd_dsp_coco.py.
_base_ = './rtdetrv2_r34vd_coco.py'

model = dict(decoder=dict(layer_cfg=dict(cross_attn_cfg=dict(method='discrete'))))
custom_hooks = [*_base_.custom_hooks[:-1], dict(_base_.final_stage, final_epochs=2)]
train_cfg = dict(max_epochs=12)
