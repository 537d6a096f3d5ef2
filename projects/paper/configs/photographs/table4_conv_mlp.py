_base_ = './spartan_xt.py'

model = dict(backbone=dict(smixer=dict(type='ConvSMixer'), cmixer=dict(type='MLPCMixer')))
