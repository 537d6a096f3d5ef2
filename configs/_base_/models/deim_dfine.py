# DEIM's loss and activations for D-FINE, whose query positions remain as they are.
_base_ = './deim.py'

deim_model = dict(decoder=dict(num_query_pos_layers=2))
