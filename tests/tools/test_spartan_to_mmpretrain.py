"""``spartan_to_mmpretrain.py``: exact, complete, and nothing written where something is wrong.

Files and class names are read by the code that ``rtdetr_to_mmdet.py`` uses too.
"""

import argparse
import shlex

import numpy as np
import pytest
import torch
from mmengine.config import Config, DictAction
from mmengine.registry import MODELS
from mmengine.runner import load_checkpoint
from mmpretrain import ImageClassificationInferencer
from mmpretrain.datasets.categories import IMAGENET_CATEGORIES
from safetensors.torch import save_file
from torch.testing import assert_close

from mmspartan import config_path
from mmspartan.convert.spartan import spartan_from_authors, spartan_to_authors
from tests.conftest import TINY, build_model
from tests.spartan.test_golden import Classifier

SPARTAN, RTDETR = 'model_converters/spartan_to_mmpretrain.py', 'model_converters/rtdetr_to_mmdet.py'


WRAPPERS = {
    'bare': lambda weights: weights,
    'model': lambda weights: dict(epoch=3, model=weights, optim={}),
    'ddp': lambda weights: dict(model={f'module.{key}': value for key, value in weights.items()}),
    'nested': lambda weights: dict(
        ema=dict(decay=0.9),
        model=dict(module={f'_orig_mod.{key}': value for key, value in weights.items()}, n_averaged=torch.tensor(3)),
    ),
    'ema': lambda weights: dict(
        model={key: torch.zeros_like(value) for key, value in weights.items()},
        model_ema={f'module.{key}': value for key, value in weights.items()},
    ),
}


def printed_config(printed: str) -> Config:
    """What the printed lines say to train with, read as a shell and tools/train.py read it."""
    lines = dict(line.split(':', 1) for line in printed.splitlines() if line.startswith(('config:', 'with:')))
    cfg = Config.fromfile(lines['config'].strip())
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    cfg.merge_from_dict(parser.parse_args(shlex.split(lines['with'])).cfg_options)
    return cfg


@pytest.mark.parametrize('wrapper', WRAPPERS)
def test_classifier_gives_the_golden_logits(wrapper, convert, golden_spartan, tmp_path):
    torch.save(WRAPPERS[wrapper](golden_spartan.group('sd')), tmp_path / 'src.pth')
    printed = convert(SPARTAN, 'src.pth', 'out/dst.pth')
    assert str(TINY['channels']) in printed and '10 classes' in printed
    cfg = printed_config(printed)
    assert {key: tuple(value) for key, value in cfg.model.backbone.arch.items()} == TINY
    assert cfg.model.head.num_classes == 10 and cfg.model.head.in_channels == TINY['channels'][-1]
    model = Classifier().double().eval()
    load_checkpoint(model, str(tmp_path / 'out' / 'dst.pth'), strict=True)
    with torch.no_grad():
        assert_close(model(golden_spartan['x']), golden_spartan['eval/logits'], rtol=0, atol=1e-9)


def test_there_and_back_gives_the_same_tensors(convert, golden_spartan, tmp_path):
    weights = golden_spartan.group('sd')
    save_file(weights, tmp_path / 'src.safetensors')
    for args in (['src.safetensors', 'ours.pth'], ['ours.pth', 'theirs.pth', '--reverse']):
        convert(SPARTAN, *args)
    back = torch.load(tmp_path / 'theirs.pth', weights_only=True)['model']
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[key], value) and back[key].dtype == value.dtype for key, value in weights.items())


def test_backbone_alone_loads_by_init_cfg(convert, golden_spartan, tmp_path):
    torch.save(golden_spartan.group('sd'), tmp_path / 'src.pth')
    assert 'left out: head.fc.weight' in convert(SPARTAN, 'src.pth', 'dst.pth', '--task', 'backbone')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'dst.pth'))
    model = MODELS.build(dict(type='SpaRTAN', arch=TINY, init_cfg=init_cfg)).double().eval()
    model.init_weights()
    with torch.no_grad():
        stage = model(golden_spartan['x'])[-1]
    assert_close(stage, golden_spartan['eval/stage4'].float().double(), rtol=1e-4, atol=1e-5)  # init_weights is float32


@pytest.mark.parametrize('name', ['xt', 't'])
def test_full_size_classifier_loads_without_a_gap(name, convert, tmp_path):
    cfg = Config.fromfile(config_path(f'spartan_{name}_in1k'))
    model = build_model(cfg.model, 'mmpretrain')
    theirs = spartan_to_authors(model.state_dict())
    assert spartan_from_authors(theirs).keys() == model.state_dict().keys()
    torch.save(dict(model=theirs), tmp_path / 'src.pth')
    printed = convert(SPARTAN, 'src.pth', 'dst.pth')
    assert f'spartan_{name}_in1k.py' in printed and '--cfg-options' not in printed
    load_checkpoint(model, str(tmp_path / 'dst.pth'), strict=True)
    classes = torch.load(tmp_path / 'dst.pth', weights_only=True)['meta']['dataset_meta']['classes']
    assert classes == tuple(IMAGENET_CATEGORIES)


NAMES = ['bolt', 'nut', 'Schlüssel', *'defghij']


@pytest.mark.parametrize('named', [True, False])
def test_classifier_answers_with_its_own_classes(named, convert, golden_spartan, tmp_path):
    # of a config whose dataset has the names of ImageNet
    torch.save(golden_spartan.group('sd'), tmp_path / 'src.pth')
    (tmp_path / 'names.txt').write_text('\n'.join(NAMES) + '\n')
    printed = convert(SPARTAN, 'src.pth', 'dst.pth', *(['--classes', 'names.txt'] if named else []))
    inferencer = ImageClassificationInferencer(printed_config(printed), str(tmp_path / 'dst.pth'), device='cpu')
    names = NAMES if named else [f'class {i}' for i in range(10)]
    assert list(inferencer.classes) == names and f'classes: {", ".join(names[:3])}, ...' in printed
    result = inferencer(np.random.default_rng(0).integers(0, 255, (64, 48, 3), np.uint8))[0]
    assert result['pred_class'] == names[result['pred_label']]


@pytest.mark.parametrize(
    ('content', 'options', 'message'),
    [
        ('a\nb\n', [], r'names\.txt: names 2 classes, the weights are of 10'),
        ('a\n\n' + 'b\n' * 8, [], r'names\.txt: line 2 is empty'),
        ('', [], r'names\.txt: line 1 is empty'),
        (b'\xff\xfe\x00', [], r'names\.txt: cannot be read: not a text file in UTF-8'),
        (None, [], r'names\.txt: cannot be read: No such file'),
        ('a\n' * 10, ['--task', 'backbone'], r'src\.pth: --classes names\.txt: only a converted classifier has names'),
    ],
)
def test_names_of_classes_that_do_not_fit_are_refused(content, options, message, convert, golden_spartan, tmp_path):
    torch.save(golden_spartan.group('sd'), tmp_path / 'src.pth')
    if content is not None:
        (tmp_path / 'names.txt').write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SystemExit, match=f'^{message}') as stopped:
        convert(SPARTAN, 'src.pth', 'dst.pth', '--classes', 'names.txt', *options)
    assert '\n' not in str(stopped.value) and not (tmp_path / 'dst.pth').exists()


BROKEN = {
    'unknown': (lambda w: {**w, 'layers.0.smixer.extra.weight': torch.zeros(3)}, 'layers.0.smixer.extra.weight'),
    'shape': (
        lambda w: {**w, 'layers.0.smixer.proj_in.weight': torch.zeros(8, 9, 1, 1)},
        'smixer.proj_in.weight is of shape (8, 9, 1, 1)',
    ),
    'missing': (lambda w: {k: v for k, v in w.items() if k != 'layers.0.smixer.gamma'}, 'smixer.gamma is missing'),
    'dtype': (lambda w: {**w, 'linear.bias': torch.zeros(10).int()}, 'among the weights is of torch.int32'),
    'nan': (lambda w: {**w, 'linear.bias': torch.full((10,), torch.nan)}, "'linear.bias' among the weights holds"),
    'no tensor': (lambda w: {**w, 'linear.bias': 3}, "'linear.bias' among the weights is no tensor but int"),
    'layer': (lambda w: {k: v for k, v in w.items() if 'layers.5.' not in k}, "there is no 'layers.5'"),
    'sparse': (lambda w: {**w, 'linear.bias': torch.ones(10).to_sparse()}, "'linear.bias' among the weights is a"),
    'scalar': (lambda w: {**w, 'layers.0.cmixer.proj.weight': torch.tensor(1.0)}, 'cmixer.wave.amplitude.weight'),
    'no classes': (lambda w: {**w, 'linear.weight': torch.ones(0, 48), 'linear.bias': torch.ones(0)}, 'head.fc.weight'),
    'nothing': (lambda w: dict(epoch=3), 'no weights in it'),
}


@pytest.mark.parametrize('kind', [*BROKEN, 'truncated', 'truncated safetensors', 'absent', 'other network'])
def test_what_is_wrong_is_said_and_nothing_is_written(kind, convert, golden_spartan, tmp_path, capsys):
    weights, src, tool = golden_spartan.group('sd'), tmp_path / 'src.pth', SPARTAN
    if kind in BROKEN:
        change, message = BROKEN[kind]
        torch.save(dict(model=change(weights)), src)
    elif kind == 'truncated':
        torch.save(weights, src)
        src.write_bytes(src.read_bytes()[:-5000])
        message = 'src.pth: damaged'
    elif kind == 'truncated safetensors':
        src = tmp_path / 'src.safetensors'
        save_file(weights, src)
        src.write_bytes(src.read_bytes()[:-5000])
        message = 'src.safetensors: damaged'
    elif kind == 'absent':
        message = 'src.pth: no such file'
    else:
        torch.save(weights, src)
        tool, message = RTDETR, "'conv.0.conv.weight' is not a weight of RT-DETR"
    (tmp_path / 'dst.pth').write_bytes(b'what was there')
    before = sorted(tmp_path.iterdir())
    with pytest.raises(SystemExit) as stopped:
        convert(tool, str(src), 'dst.pth')
    assert message in str(stopped.value) and '\n' not in str(stopped.value)
    assert (tmp_path / 'dst.pth').read_bytes() == b'what was there' and sorted(tmp_path.iterdir()) == before
    assert 'written' not in capsys.readouterr().out


@pytest.mark.parametrize('target', ['folder', 'src.pth/below.pth', 's3://bucket/dst.pth', '/dev/null', 'x' * 300])
def test_place_that_cannot_be_written(target, convert, golden_spartan, tmp_path):
    torch.save(golden_spartan.group('sd'), tmp_path / 'src.pth')
    (tmp_path / 'folder').mkdir()
    before = sorted(tmp_path.rglob('*'))
    with pytest.raises(SystemExit) as stopped:
        convert(SPARTAN, 'src.pth', target)
    assert str(stopped.value).startswith((target, repr(target))) and '\n' not in str(stopped.value)
    assert sorted(tmp_path.rglob('*')) == before


def test_config_of_a_classifier_of_any_widths(convert, golden_spartan, tmp_path):
    torch.save(golden_spartan.group('sd'), tmp_path / 'src.pth')
    convert(SPARTAN, 'src.pth', 'dst.pth', '--write-config', 'spartan_s.py')
    cfg = Config.fromfile(tmp_path / 'spartan_s.py')
    assert cfg.model.backbone.arch == TINY and cfg.model.data_preprocessor.num_classes == cfg.model.head.num_classes
    model = build_model(cfg.model, 'mmpretrain')
    load_checkpoint(model, str(tmp_path / 'dst.pth'), strict=True)


@pytest.mark.parametrize('options', [('--reverse',), ('--task', 'backbone')])
def test_config_needs_a_classifier(options, convert, golden_spartan, tmp_path):
    weights = golden_spartan.group('sd')
    torch.save(spartan_from_authors(weights) if '--reverse' in options else weights, tmp_path / 'src.pth')
    with pytest.raises(SystemExit, match=r'--write-config a\.py: only a converted classifier has a config'):
        convert(SPARTAN, 'src.pth', 'dst.pth', '--write-config', 'a.py', *options)
    assert not (tmp_path / 'a.py').exists()
