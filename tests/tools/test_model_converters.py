"""Converters by their command lines: exact, complete, and nothing written where something is wrong."""

import argparse
import json
import runpy
import shlex
import sys

import numpy as np
import pytest
import torch
from mmengine.config import Config, DictAction
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import load_checkpoint
from mmpretrain import ImageClassificationInferencer
from mmpretrain.datasets.categories import IMAGENET_CATEGORIES
from safetensors.torch import save_file
from torch.testing import assert_close

from mmspartan import config_path
from mmspartan.convert import spartan_from_authors, spartan_to_authors
from tests.conftest import ROOT, TINY, Golden
from tests.rtdetr.test_golden import CONFIG, SIZE
from tests.spartan.test_golden import Classifier

SPARTAN, RTDETR = 'model_converters/spartan_to_mmpretrain.py', 'model_converters/rtdetr_to_mmdet.py'


@pytest.fixture(scope='module')
def golden_rtdetr() -> Golden:
    return Golden('rtdetr_tiny.npz')


@pytest.fixture
def convert(tmp_path, monkeypatch, capsys):
    """Runs a converter in this process, in ``tmp_path``; returns what it printed."""

    def run(script: str, *args: str) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, 'argv', [script, *args])
        runpy.run_path(str(ROOT / 'tools' / script), run_name='__main__')
        return capsys.readouterr().out

    return run


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


def test_there_and_back_gives_the_same_tensors(run_tool, golden_spartan, tmp_path):
    weights = golden_spartan.group('sd')
    save_file(weights, tmp_path / 'src.safetensors')
    for args in (['src.safetensors', 'ours.pth'], ['ours.pth', 'theirs.pth', '--reverse']):
        result = run_tool(SPARTAN, *args)
        assert result.returncode == 0, result.stderr[-2000:]
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
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model)
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


def test_detector_is_given_names_of_classes(convert, golden_rtdetr, tmp_path):
    torch.save(golden_rtdetr.group('sd'), tmp_path / 'src.pth')
    (tmp_path / 'names.txt').write_text('\ufeff' + '\r\n'.join(NAMES), newline='')
    convert(RTDETR, 'src.pth', 'dst.pth', '--classes', 'names.txt')
    meta = torch.load(tmp_path / 'dst.pth', weights_only=True)['meta']
    assert meta['dataset_meta']['classes'] == tuple(NAMES)


@pytest.mark.parametrize(
    ('content', 'options', 'message'),
    [
        ('a\nb\n', [], r'names\.txt: names 2 classes, the weights are of 10'),
        ('a\n\n' + 'b\n' * 8, [], r'names\.txt: line 2 is empty'),
        ('', [], r'names\.txt: line 1 is empty'),
        (b'\xff\xfe\x00', [], r'names\.txt: cannot be read: not a text file in UTF-8'),
        (None, [], r'names\.txt: cannot be read: No such file'),
        ('a\n' * 10, ['--task', 'backbone'], r'--classes names\.txt: only a converted classifier has names'),
    ],
)
def test_names_of_classes_that_do_not_fit_are_refused(content, options, message, convert, golden_spartan, tmp_path):
    torch.save(golden_spartan.group('sd'), tmp_path / 'src.pth')
    if content is not None:
        (tmp_path / 'names.txt').write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SystemExit, match=rf'^src\.pth: {message}') as stopped:
        convert(SPARTAN, 'src.pth', 'dst.pth', '--classes', 'names.txt', *options)
    assert '\n' not in str(stopped.value) and not (tmp_path / 'dst.pth').exists()


def test_detector_gives_the_golden_boxes(convert, golden_rtdetr, tmp_path):
    weights = golden_rtdetr.group('sd')
    computed = {'decoder.anchors': torch.full((1, 5, 4), torch.inf), 'decoder.valid_mask': torch.zeros(1, 5, 1).bool()}
    torch.save(dict(ema=dict(module={**weights, **computed}), model={}, last_epoch=3), tmp_path / 'src.pth')
    printed = convert(RTDETR, 'src.pth', 'dst.pth')
    assert 'ema.module' in printed and f'{len(weights)} of {len(weights) + 2} tensors used' in printed
    assert 'left out: decoder.anchors' in printed and '10 classes' in printed
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(CONFIG).double().eval()
    load_checkpoint(model, str(tmp_path / 'dst.pth'), strict=True)
    with torch.no_grad():
        logits, boxes = model(golden_rtdetr['x'], mode='tensor')
    assert_close(logits[-1], golden_rtdetr['eval/pred_logits'], rtol=0, atol=1e-6)
    assert_close(boxes[-1], golden_rtdetr['eval/pred_boxes'], rtol=0, atol=1e-6)
    assert golden_rtdetr['x'].shape[-1] == SIZE


def presnet_names(weights: dict) -> dict:
    """Our names of a detector with ResNet-vd to rtdetr_pytorch's, written down independently of the converter."""
    renamed = {}
    for key, value in weights.items():
        parts = key.split('.')
        if parts[1] == 'stem':
            index = int(parts[2])
            key = f'backbone.conv1.conv1_{index // 3 + 1}.{("conv", "norm")[index % 3]}.{parts[-1]}'
        elif parts[0] == 'backbone':
            stage, block = int(parts[1][-1]) - 1, int(parts[2])
            key = f'backbone.res_layers.{stage}.blocks.{block}'
            if parts[3] == 'downsample':
                pooled = 'conv.' if stage else ''
                key += f'.short.{pooled}{("", "conv", "norm")[int(parts[4])]}.{parts[-1]}'
            else:
                kind = 'norm' if parts[3].startswith('bn') else 'conv'
                key += f'.branch2{"abc"[int(parts[3][-1]) - 1]}.{kind}.{parts[-1]}'
        renamed[key] = value
    return renamed


@pytest.mark.parametrize('name', ['spartan_xt', 'spartan_t', 'r18vd', 'r50vd'])
def test_full_size_detector_loads_without_a_gap(name, convert, golden_rtdetr, tmp_path):
    cfg = Config.fromfile(config_path(f'rtdetr_{name}_coco'))
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
    theirs = detector_to_authors(model.state_dict(), cfg.model.decoder.num_layers)
    if name == 'r50vd':  # its batch norms are frozen, without counters
        theirs = {key: v for key, v in theirs.items() if 'backbone' not in key or 'num_batches' not in key}
    torch.save(dict(ema=dict(module=theirs)), tmp_path / 'src.pth')
    printed = convert(RTDETR, 'src.pth', 'dst.pth')
    assert f'rtdetr_{name}_coco.py' in printed and f'{len(theirs)} of {len(theirs)} tensors used' in printed
    expected = {key: value.clone() for key, value in model.state_dict().items()}
    for value in model.state_dict().values():
        value.zero_()
    load_checkpoint(model, str(tmp_path / 'dst.pth'), strict=True)
    assert all(torch.equal(value, expected[key]) for key, value in model.state_dict().items())
    assert len(torch.load(tmp_path / 'dst.pth', weights_only=True)['meta']['dataset_meta']['classes']) == 80


def detector_to_authors(weights: dict, num_layers: int) -> dict:
    """Our names to rtdetr_pytorch's."""
    backbone = {key: value for key, value in weights.items() if key.startswith('backbone.')}
    if 'backbone.stem.0.weight' in backbone:
        renamed = presnet_names(backbone)
    else:
        renamed = {f'backbone.{key}': value for key, value in spartan_to_authors(backbone).items()}
    last = f'branches.{num_layers}.'
    replacements = [
        ('bbox_head.cls_' + last, 'decoder.enc_score_head.'),
        ('bbox_head.reg_' + last, 'decoder.enc_bbox_head.layers.'),
        ('bbox_head.cls_branches.', 'decoder.dec_score_head.'),
        ('bbox_head.reg_branches.', 'decoder.dec_bbox_head.'),
        ('memory_trans_fc', 'decoder.enc_output.0'),
        ('memory_trans_norm', 'decoder.enc_output.1'),
        ('denoising.label_embedding', 'decoder.denoising_class_embed'),
        ('decoder.layers.', 'decoder.decoder.layers.'),
        ('neck.aifi.', 'encoder.encoder.0.'),
        ('neck.top_down_blocks.', 'encoder.fpn_blocks.'),
        ('neck.bottom_up_blocks.', 'encoder.pan_blocks.'),
        ('neck.input_convs.', 'encoder.input_proj.'),
        ('neck.', 'encoder.'),
        ('input_convs.', 'decoder.input_proj.'),
        ('decoder.query_pos_head.', 'decoder.query_pos_head.'),
    ]
    for key, value in weights.items():
        if key in backbone:
            continue
        source, target = next(pair for pair in replacements if key.startswith(pair[0]))
        name = target + key.removeprefix(source)
        parts = name.split('.')
        if target == 'decoder.dec_bbox_head.':
            parts[3:4] = ['layers', str(int(parts[3]) // 2)]
        elif target == 'decoder.enc_bbox_head.layers.':
            parts[3] = str(int(parts[3]) // 2)
        elif target == 'encoder.input_proj.':
            parts[3] = str(['conv', 'norm'].index(parts[3]))
        name = '.'.join(parts)
        for ours, theirs in [
            ('self_attn.attn.', 'self_attn.'),
            ('ffn.layers.0.0.', 'linear1.'),
            ('ffn.layers.1.', 'linear2.'),
        ]:
            name = name.replace(ours, theirs)
        for i in range(3):
            name = name.replace(f'.norms.{i}.', f'.norm{i + 1}.')
        if '.blocks.' in name:
            for ours, theirs in [('conv3', 'conv1'), ('conv1', 'conv2')]:
                before, _, after = name.partition('.blocks.')
                if f'.{ours}.' in after:
                    name = f'{before}.bottlenecks.{after.replace(ours, theirs)}'
                    break
        renamed[name] = value
    return renamed


def test_folder_of_hugging_face_with_its_class_names(convert, tmp_path):
    pytest.importorskip('transformers', reason='transformers 4.49.0 is not installed')
    from tests.rtdetr.test_transformers import build_ours, build_theirs, compare

    theirs = build_theirs(50, num_labels=3)
    theirs.config.id2label = {0: 'bolt', 1: 'nut', 2: 'washer'}
    theirs.save_pretrained(tmp_path / 'theirs')
    printed = convert(RTDETR, 'theirs', 'dst.pth')
    assert '3 classes' in printed and "'num_queries': 30" in printed
    checkpoint = torch.load(tmp_path / 'dst.pth', weights_only=True)
    assert checkpoint['meta']['dataset_meta']['classes'] == ('bolt', 'nut', 'washer')
    ours = build_ours(50, num_classes=3)
    ours.load_state_dict(checkpoint['state_dict'])
    compare(ours, theirs)

    config = json.loads((tmp_path / 'theirs' / 'config.json').read_text())
    (tmp_path / 'theirs' / 'config.json').write_text(json.dumps(dict(config, decoder_attention_heads=4)))
    with pytest.raises(SystemExit, match=r'config\.json: decoder_attention_heads is 4'):
        convert(RTDETR, 'theirs', 'other.pth')


BROKEN = {
    'unknown': (lambda w: {**w, 'layers.0.smixer.extra.weight': torch.zeros(3)}, 'layers.0.smixer.extra.weight'),
    'shape': (
        lambda w: {**w, 'layers.0.smixer.proj_in.weight': torch.zeros(8, 9, 1, 1)},
        'smixer.proj_in.weight is of shape (8, 9, 1, 1)',
    ),
    'missing': (lambda w: {k: v for k, v in w.items() if k != 'layers.0.smixer.gamma'}, 'smixer.gamma is missing'),
    'dtype': (
        lambda w: {**w, 'linear.bias': torch.zeros(10).int()},
        'among the weights is of torch.int32',
    ),
    'nan': (
        lambda w: {**w, 'linear.bias': torch.full((10,), torch.nan)},
        "'linear.bias' among the weights holds",
    ),
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


def test_detector_without_one_of_its_layers(convert, golden_rtdetr, tmp_path):
    weights = {key: v for key, v in golden_rtdetr.group('sd').items() if 'decoder.decoder.layers.1.' not in key}
    torch.save(weights, tmp_path / 'src.pth')
    with pytest.raises(SystemExit, match='belongs to a decoder layer that is missing; found 1'):
        convert(RTDETR, 'src.pth', 'dst.pth')
    assert not (tmp_path / 'dst.pth').exists()


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
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model)
    load_checkpoint(model, str(tmp_path / 'dst.pth'), strict=True)


def test_config_of_a_detector_of_any_widths(convert, golden_rtdetr, tmp_path):
    torch.save(golden_rtdetr.group('sd'), tmp_path / 'src.pth')
    convert(RTDETR, 'src.pth', 'dst.pth', '--write-config', 'detector.py')
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(Config.fromfile(tmp_path / 'detector.py').model)
    load_checkpoint(model, str(tmp_path / 'dst.pth'), strict=True)


@pytest.mark.parametrize('options', [('--reverse',), ('--task', 'backbone')])
def test_config_needs_a_classifier(options, convert, golden_spartan, tmp_path):
    weights = golden_spartan.group('sd')
    torch.save(spartan_from_authors(weights) if '--reverse' in options else weights, tmp_path / 'src.pth')
    with pytest.raises(SystemExit, match=r'--write-config a\.py: only a converted classifier has a config'):
        convert(SPARTAN, 'src.pth', 'dst.pth', '--write-config', 'a.py', *options)
    assert not (tmp_path / 'a.py').exists()


@pytest.mark.parametrize('points', [1, 2])
def test_detector_with_fewer_sampling_points(points, convert, golden_rtdetr, tmp_path):
    """As the files rtdetrv2_r18vd_sp1 and _sp2 of RT-DETRv2."""
    weights = golden_rtdetr.group('sd')
    for key, value in weights.items():
        for name, values in {'sampling_offsets': 2, 'attention_weights': 1}.items():
            if f'.cross_attn.{name}.' in key:  # (heads, levels, points, values)
                chosen = value.unflatten(0, (8, 3, 4, values))[:, :, :points]
                weights[key] = chosen.flatten(0, 3).clone()
    torch.save(weights, tmp_path / 'src.pth')
    printed = convert(RTDETR, 'src.pth', 'dst.pth', '--write-config', 'detector.py')
    assert f"'num_points': {points}" in printed
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(Config.fromfile(tmp_path / 'detector.py').model)
    load_checkpoint(model, str(tmp_path / 'dst.pth'), strict=True)
