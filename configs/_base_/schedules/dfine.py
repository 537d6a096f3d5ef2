_base_ = './rtdetr_70e.py'
