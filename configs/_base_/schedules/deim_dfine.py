# DEIM's recipe for D-FINE: larger batches than for RT-DETRv2, and averages that warm up in half of the time.
_base_ = './deim.py'

deim_dataloader = dict(batch_size=4)  # on 8 GPUs
deim_auto_scale_lr = dict(base_batch_size=32, enable=False)
deim_hooks = [
    dict(
        type='EMAHook', ema_type='ForeachExpMomentumEMA', momentum=0.0001, gamma=1000, update_buffers=True, priority=49
    ),
    dict(type='NumClassCheckHook'),
]
