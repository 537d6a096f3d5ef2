# MobileOne-S1 (Vasu et al., 2023).
_base_ = './spartan_xt.py'

model = dict(backbone=dict(_delete_=True, type='MobileOne', arch='s1', out_indices=(3,)), head=dict(in_channels=1280))
