_base_ = '../../../../configs/spartan_xt_in1k.py'

model = dict(backbone=dict(smixer=dict(type='ConvSMixer'), cmixer=dict(type='MLPCMixer')))
