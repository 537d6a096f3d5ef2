# The model of Table II itself. It shares the folder of that training, so that it is trained once.
_base_ = '../../../../configs/spartan_xt_in1k.py'

work_dir = 'work_dirs/spartan_xt_in1k'
