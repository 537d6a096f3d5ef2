_base_ = './spartan_xt.py'

model = dict(backbone=dict(cmixer=dict(type='MLPCMixer', se=True)))
