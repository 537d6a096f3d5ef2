# VAN-B0 (Guo et al., 2023) by the recipe of the paper.
_base_ = '../../../../configs/spartan_t_in1k.py'

model = dict(backbone=dict(_delete_=True, type='VAN', arch='tiny', drop_path_rate=0.1))
