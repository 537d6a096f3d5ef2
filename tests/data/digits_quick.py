# A network and a schedule to look at the scripts with, not at accuracy.
_base_ = __import__('mmspartan').config_path('spartan_xt_digits')

model = dict(
    backbone=dict(arch=dict(_delete_=True, channels=(8, 16, 24, 32), depths=(1, 1, 1, 1), expand_ratios=(2, 2, 2, 2))),
    head=dict(in_channels=32),
)
train_dataloader = dict(num_workers=0, persistent_workers=False)
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = dict(num_workers=0, persistent_workers=False)
train_cfg = dict(max_epochs=1)
