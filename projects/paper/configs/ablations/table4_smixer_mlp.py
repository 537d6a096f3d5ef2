_base_ = '../../../../configs/spartan_xt_in1k.py'

model = dict(backbone=dict(cmixer=dict(type='MLPCMixer')))
