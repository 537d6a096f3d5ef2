"""Entries of a config that are of the wrong kind, and those whose constructors fail, are named."""

from pathlib import Path

import mmdet
import mmpretrain
import pytest
from mmengine.config import Config
from mmengine.registry import Registry
from torchvision.transforms import InterpolationMode

from mmspartan.commands.config_check import check_config, entry_being_built
from mmspartan.errors import InputError

SOUND = dict(
    model=dict(type='RTDETR', train_cfg=dict(assigner=dict(type='A', match_costs=[dict(type='C', weight=2.0)]))),
    train_dataloader=dict(
        batch_size=2,
        num_workers=0,
        dataset=dict(
            type='D',
            data_root='data',
            pipeline=[dict(type='LoadImageFromFile', backend_args=dict(backend='picture')), dict(type='Flip')],
        ),
    ),
    optim_wrapper=dict(constructor='X', optimizer=dict(type='AdamW', lr=1e-4)),
    val_evaluator=dict(metrics=[dict(type='M')]),
    custom_hooks=[dict(type='EMAHook', ema_type='E')],
    default_hooks=dict(logger=dict(type='LoggerHook'), timer=None),
)


def test_a_sound_config_passes():
    check_config(Config(SOUND), 'a.py')


@pytest.mark.parametrize('package', [mmdet, mmpretrain])
def test_configs_of_the_stack_pass(package):
    paths = sorted((Path(package.__file__).parent / '.mim' / 'configs').rglob('*.py'))
    read = 0
    for path in paths[::15]:
        try:
            cfg = Config.fromfile(path, import_custom_modules=False)
        except Exception:  # some need packages or files that are not there
            continue
        read += 1
        check_config(cfg, path)
    assert read > 30


@pytest.mark.parametrize(
    ('entry', 'value'),
    [
        ('optim_wrapper.paramwise_cfg', dict(custom_keys=dict(backbone=dict(lr_mult=0.1), img=dict(lr_mult=1)))),
        ('model.data_preprocessor', dict(type='P', pad_val=dict(img=(114.0, 114.0, 114.0)))),
        ('train_dataloader.dataset.pipeline', [dict(type='Affine', scale=dict(x=(0.8, 1.2)))]),
        (
            'train_dataloader.dataset.pipeline',
            [dict(type='torchvision/Resize', interpolation=InterpolationMode.BICUBIC)],
        ),
        ('model.train_cfg.assigner.match_costs', [dict(type=dict, weight=2.0, pc_range=[0.0, 1.0])]),
        ('model.roi_head', dict(type='R', bbox_head=[dict(type='B'), dict(type='B')])),
        ('model.detector', dict(type='D', backbone=dict(depth=50))),
        ('param_scheduler', dict(gen=[dict(type='S')], disc=[dict(type='S')])),
    ],
    ids=str,
)
def test_a_rare_but_right_entry_passes(entry, value):
    cfg = Config(SOUND)
    cfg.merge_from_dict({entry: value})
    check_config(cfg, 'a.py')


@pytest.mark.parametrize(
    ('entry', 'value', 'message'),
    [
        ('model.train_cfg.assigner', [], r'assigner: is \[\], must be a dict'),
        ('train_dataloader', dict(batch_size=2), r'a\.py: train_dataloader\.dataset: is missing'),
        ('train_dataloader.num_workers', '2', r"train_dataloader\.num_workers: is '2', must be a whole number"),
        ('train_dataloader.dataset.data_root', dict(a=1), r"data_root: is \{'a': 1\}, must be a path"),
        (
            'train_dataloader.dataset.pipeline.0.backend_args.backend',
            'disk',
            r"backend: is 'disk', must be one of .*local",
        ),
        ('train_dataloader.dataset.pipeline.0.backend_args', dict(backed='local'), 'must be a dict with backend'),
        ('default_hooks.logger', 'text', r"a\.py: default_hooks\.logger: is 'text', must be a dict"),
        ('optim_wrapper.optimizer.lr', '1e-4', r"optimizer\.lr: is '1e-4', must be a number"),
        ('optim_wrapper.clip_grad', dict(norm_typ=2), r"clip_grad: is .*norm_typ'.*, must be a dict of .*norm_type"),
        ('model.neck', [], r'model\.neck: is \[\], must be a dict or dicts in a list'),
        ('optim_wrapper.clip_grad', dict(norm_type=-1), r'clip_grad\.norm_type: is -1, must be a number above 0'),
        (
            'model.train_cfg.assigner.match_costs.0.weight',
            [],
            r'match_costs: is .*, must be .* weight, alpha, gamma and eps are numbers',
        ),
        ('model.train_cfg.assigner.match_costs.0.weight', -5.0, 'numbers of at least 0'),
        ('model.train_cfg.assigner.match_costs.0.eps', 'text', 'numbers of at least 0'),
        ('model.train_cfg.assigner.match_costs.0.iou_mode', 'ciou', r"iou_mode: is 'ciou', must be iou, iof or giou"),
        (
            'model.data_preprocessor',
            dict(pad_size_divisor=-1000),
            r'divisor: is -1000, must be a whole number of at least 1',
        ),
        ('val_evaluator.topk', 'text', r"topk: is 'text', must be numbers of at least 1"),
        ('optim_wrapper.constructor', 3.5, r'constructor: is 3\.5, must be the name of a class'),
        ('train_dataloader.dataset.pipeline.1.meta_keys', dict(a=1), r'meta_keys: .* must be a list of names'),
        ('train_dataloader.dataset.pipeline.1.scale', '', r"scale: is '', must be a number, a list or a dict"),
        ('train_dataloader.dataset.pipeline.1.interpolation', {}, r'interpolation: .* must be a name or a number'),
        ('val_evaluator', [dict(type='M', ann_file='')], r"evaluator\.0\.ann_file: is '', must be the path of a file"),
        (
            'train_cfg',
            dict(by_epoch=True, max_epochs=-5),
            r'train_cfg\.max_epochs: is -5, must be a whole number of at least 1',
        ),
        ('val_evaluator', [], r'val_evaluator: is empty, must have at least one metric'),
    ],
    ids=lambda value: value if isinstance(value, str) and ' ' not in value else '',
)
def test_an_entry_of_the_wrong_kind_is_named(entry, value, message):
    cfg = Config(SOUND)
    *path, last = [int(part) if part.isdigit() else part for part in entry.split('.')]
    holder = cfg
    for part in path:
        holder = holder[part]
    holder[last] = value
    with pytest.raises(InputError, match=message):
        check_config(cfg, 'a.py')


def test_the_entry_whose_constructor_fails_is_found():
    things = Registry('things')

    @things.register_module()
    class Outer:
        def __init__(self, parts):
            self.parts = [things.build(part) for part in parts]

    @things.register_module()
    class Inner:
        def __init__(self, size):
            assert size == 1

    cfg = Config(dict(model=dict(type='Outer', parts=[dict(type='Inner', size=1), dict(type='Inner', size='x')])))
    with pytest.raises(AssertionError) as caught:
        things.build(cfg.model)
    assert entry_being_built(caught.value, cfg) == "model.parts.1 (type='Inner', size='x')"
    assert entry_being_built(caught.value, Config(dict(model=1))) == ''
    without_defaults = Config(dict(part=dict(size='x'), parts=[dict(type='Inner')], model=dict(type='Outer')))
    assert entry_being_built(caught.value, without_defaults) == ''
    without_defaults.part['type'] = 'Inner'
    assert entry_being_built(caught.value, without_defaults).startswith('part ')
    assert entry_being_built(ValueError('elsewhere'), cfg) == ''
