"""Own data from end to end: convert, fine-tune a converted detector for other classes, evaluate, draw, publish."""

import re

import torch

from mmspartan.checkpoints.checkpoint import read_checkpoint
from tests.conftest import ROOT, TINY, Golden, last_line, make_parts
from tests.docs.scripts import run_here

CONFIG = f"""
_base_ = __import__('mmspartan').config_path('rtdetr_spartan_xt_digits')
load_from = 'converted.pth'
model = dict(
    num_queries=30,
    backbone=dict(arch=dict(_delete_=True, **{TINY})),
    neck=dict(in_channels={TINY['channels'][1:]}, hidden_channels=64, feedforward_channels=128),
    decoder=dict(
        num_layers=2,
        layer_cfg=dict(
            self_attn_cfg=dict(embed_dims=64),
            cross_attn_cfg=dict(embed_dims=64),
            ffn_cfg=dict(embed_dims=64, feedforward_channels=128),
        ),
    ),
    bbox_head=dict(num_classes=3, embed_dims=64),
    test_cfg=dict(max_per_img=30),
)
_mine = dict(metainfo=dict(classes=('washer', 'nut', 'bolt')), ann_file='_annotations.coco.json')
_loader = dict(batch_size=4, num_workers=0, persistent_workers=False)
_train, _val = (dict(data_root=f'mine/{{split}}/', data_prefix=dict(img=''), **_mine) for split in ('train', 'valid'))
train_dataloader = dict(dataset=_train, **_loader)
val_dataloader = dict(dataset=_val, **_loader)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file='mine/valid/_annotations.coco.json')
test_evaluator = val_evaluator
optim_wrapper = dict(optimizer=dict(lr=0.0))  # what was loaded can be compared with what is saved
param_scheduler = [dict(type='ConstantLR', factor=1.0)]
train_cfg = dict(max_epochs=1, val_interval=1)
"""


def test_fine_tuning_a_converted_detector(tmp_path):
    make_parts(tmp_path, 10)
    (tmp_path / 'mine.py').write_text(CONFIG)
    torch.save(dict(model=Golden('rtdetr_tiny.npz').group('sd')), tmp_path / 'source.pth')
    run_here(ROOT / 'tools' / 'model_converters' / 'rtdetr_to_mmdet.py', 'source.pth', 'converted.pth', cwd=tmp_path)

    told = last_line('train.py', 'mine.py', '--cfg-options', 'load_from=source.pth', cwd=tmp_path)
    assert told == "source.pth: load_from has no weight of the model; others' files: tools/model_converters/"
    log = run_here(ROOT / 'tools' / 'train.py', 'mine.py', '--cfg-options', 'randomness.seed=1', cwd=tmp_path)
    assert re.search(r' 7 of another shape.*label_embedding\.weight \(11, \d+\) instead of \(4, ', log)
    assert 'size mismatch' not in log
    checkpoint = tmp_path / 'work_dirs' / 'mine' / 'epoch_1.pth'
    before = torch.load(tmp_path / 'converted.pth', weights_only=True)['state_dict']
    trained = torch.load(checkpoint, weights_only=True)
    after = trained['state_dict']
    anew = {key for key in before if before[key].shape != after[key].shape}
    assert anew == {key for key in before if 'cls_branches' in key or 'label_embedding' in key}
    statistics = ('running_mean', 'running_var', 'num_batches_tracked')
    kept = [key for key in before if key not in anew and not key.endswith(statistics)]
    assert len(kept) > 300 and all(torch.allclose(after[key].double(), before[key].double()) for key in kept)

    log = run_here(ROOT / 'tools' / 'test.py', 'mine.py', checkpoint, '--show-dir', 'drawn', cwd=tmp_path)
    assert re.search(r'bbox_mAP_copypaste: 0\.\d+', log)
    assert len(list(tmp_path.glob('drawn/*'))) == 2
    publish = ROOT / 'tools' / 'misc' / 'publish_model.py'
    for toolbox in ('mmdet', 'mmpretrain'):
        run_here(publish, checkpoint, f'{toolbox}.pth', '--toolbox', toolbox, cwd=tmp_path)
        (published,) = tmp_path.glob(f'{toolbox}*-????????.pth')
        weights = torch.load(published, weights_only=True)
        assert set(weights) == {'meta', 'state_dict'}
        assert weights['meta']['dataset_meta']['classes'] == trained['meta']['dataset_meta']['classes']
        assert all(torch.equal(value, after[key]) for key, value in weights['state_dict'].items())
    torch.save(dict(state_dict=weights['state_dict'], meta=dict(dataset_meta='text')), tmp_path / 'text.pth')
    assert last_line(publish, 'text.pth', 'a.pth', cwd=tmp_path) == 'text.pth: its meta.dataset_meta is a str, no dict'
    run_here(publish, checkpoint, 'half.safetensors', cwd=tmp_path)
    half = read_checkpoint(tmp_path / 'half.safetensors')
    assert half['meta']['dataset_meta']['classes'] == trained['meta']['dataset_meta']['classes']
    for key, value in half['state_dict'].items():
        assert torch.equal(value, after[key].to(value.dtype)), key
