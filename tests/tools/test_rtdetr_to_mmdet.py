"""``rtdetr_to_mmdet.py``: weights of the authors of RT-DETR, D-FINE and DEIM, of each version, and of Hugging Face."""

import json
import runpy

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from mmengine.runner import load_checkpoint
from safetensors.torch import save_file
from torch import nn
from torch.testing import assert_close

from mmspartan.convert.spartan import spartan_to_authors
from tests.conftest import ROOT, Golden, build_model, perturb
from tests.convert.stored import of_deim, of_deimv2, of_deimv2_hugging_face, of_dfine, of_hugging_face, of_rtdetrv2
from tests.deimv2.make_golden import SIZES as SIZES_V2
from tests.dfine.make_golden import SIZES
from tests.rtdetr.test_golden import CONFIG, SIZE

RTDETR = 'model_converters/rtdetr_to_mmdet.py'
NAMES = ['bolt', 'nut', 'Schlüssel', *'defghij']


def loaded(folder) -> nn.Module:
    """The detector of the config that was written, with all of its converted weights."""
    model = build_model(Config.fromfile(folder / 'detector.py').model)
    load_checkpoint(model, str(folder / 'dst.pth'), strict=True)
    return model


def save_folder(folder, weights: dict, config: dict) -> None:
    """Write a folder as Hugging Face's hub has them."""
    folder.mkdir(exist_ok=True)
    save_file(weights, folder / 'model.safetensors')
    (folder / 'config.json').write_text(json.dumps(config))


@pytest.fixture(scope='module')
def golden_rtdetr() -> Golden:
    return Golden('rtdetr_tiny.npz')


def test_detector_is_given_names_of_classes(convert, golden_rtdetr, tmp_path):
    torch.save(golden_rtdetr.group('sd'), tmp_path / 'src.pth')
    (tmp_path / 'names.txt').write_text('\ufeff' + '\r\n'.join(NAMES), newline='')
    convert(RTDETR, 'src.pth', 'dst.pth', '--classes', 'names.txt')
    meta = torch.load(tmp_path / 'dst.pth', weights_only=True)['meta']
    assert meta['dataset_meta']['classes'] == tuple(NAMES)


def test_detector_gives_the_golden_boxes(convert, golden_rtdetr, tmp_path):
    weights = golden_rtdetr.group('sd')
    computed = {'decoder.anchors': torch.full((1, 5, 4), torch.inf), 'decoder.valid_mask': torch.zeros(1, 5, 1).bool()}
    torch.save(dict(ema=dict(module={**weights, **computed}), model={}, last_epoch=3), tmp_path / 'src.pth')
    printed = convert(RTDETR, 'src.pth', 'dst.pth')
    assert 'ema.module' in printed and f'{len(weights)} of {len(weights) + 2} tensors used' in printed
    assert 'left out: decoder.anchors' in printed and '10 classes' in printed
    model = build_model(CONFIG).double().eval()
    load_checkpoint(model, str(tmp_path / 'dst.pth'), strict=True)
    with torch.no_grad():
        logits, boxes = model(golden_rtdetr['x'], mode='tensor')
    assert_close(logits[-1], golden_rtdetr['eval/pred_logits'], rtol=0, atol=1e-6)
    assert_close(boxes[-1], golden_rtdetr['eval/pred_boxes'], rtol=0, atol=1e-6)
    assert golden_rtdetr['x'].shape[-1] == SIZE


def with_spartan(weights: dict, arch: str) -> dict:
    """Weights of the authors' detector with the authors' SpaRTAN as its backbone."""
    backbone = MODELS.build(dict(type='SpaRTAN', arch=arch)).state_dict(prefix='backbone.')
    rest = {key: value for key, value in weights.items() if not key.startswith('backbone.')}
    inputs = sorted(key for key in rest if key.startswith('encoder.input_proj.') and key.endswith('.conv.weight'))
    for key, channels in zip(inputs, dict(xt=(64, 96, 192), t=(64, 128, 256))[arch][-len(inputs) :], strict=True):
        rest[key] = torch.zeros(len(rest[key]), channels, 1, 1)
    return rest | {f'backbone.{key}': value for key, value in spartan_to_authors(backbone).items()}


@pytest.mark.parametrize('name', ['spartan_xt', 'spartan_t', 'r18vd', 'r50vd'])
def test_full_size_detector_loads_without_a_gap(name, convert, tmp_path):
    arch = name.removeprefix('spartan_')
    weights = of_rtdetrv2('r50vd' if arch != name else name).weights  # RT-DETR has no settings
    weights = with_spartan(weights, arch) if arch != name else weights
    torch.save(dict(ema=dict(module=weights)), tmp_path / 'src.pth')
    printed = convert(RTDETR, 'src.pth', 'dst.pth', '--write-config', 'detector.py')
    assert f'rtdetr_{name}_coco.py' in printed and f'{len(weights)} of {len(weights)} tensors used' in printed
    loaded(tmp_path)


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


def test_detector_without_one_of_its_layers(convert, golden_rtdetr, tmp_path):
    weights = {key: v for key, v in golden_rtdetr.group('sd').items() if 'decoder.decoder.layers.1.' not in key}
    torch.save(weights, tmp_path / 'src.pth')
    with pytest.raises(SystemExit, match='belongs to a decoder layer that is missing; found 1'):
        convert(RTDETR, 'src.pth', 'dst.pth')
    assert not (tmp_path / 'dst.pth').exists()


@pytest.mark.parametrize('points', [1, 2])
def test_detector_with_fewer_sampling_points(points, convert, golden_rtdetr, tmp_path):
    """As the files rtdetrv2_r18vd_sp1 and _sp2 of RT-DETRv2."""
    weights = version_2(golden_rtdetr, [points] * 3)
    torch.save({key: v for key, v in weights.items() if 'num_points_scale' not in key}, tmp_path / 'src.pth')
    printed = convert(RTDETR, 'src.pth', 'dst.pth', '--write-config', 'detector.py')
    assert f"'num_points': {points}" in printed
    loaded(tmp_path)


def version_2(golden_rtdetr, points: list[int]) -> dict:
    """Weights of RT-DETRv2 with these points on the levels, and the factors of their offsets."""
    weights = golden_rtdetr.group('sd')
    for key, value in weights.items():
        for name, values in {'sampling_offsets': 2, 'attention_weights': 1}.items():
            if f'.cross_attn.{name}.' in key:  # (heads, levels, points, values)
                levels = value.unflatten(0, (8, 3, 4, values)).unbind(1)
                chosen = [level[:, :count] for level, count in zip(levels, points)]
                weights[key] = torch.cat(chosen, dim=1).flatten(0, 2).clone()
    factors = torch.tensor([1 / count for count in points for _ in range(count)])
    return weights | {f'decoder.decoder.layers.{i}.cross_attn.num_points_scale': factors for i in range(2)}


@pytest.mark.parametrize(
    ('name', 'options', 'method', 'said'),
    [
        ('rtdetrv2_tiny.pth', [], 'default', 'for a network with discrete sampling'),
        ('rtdetrv2_tiny_dsp_3x_coco.pth', [], 'discrete', 'the name of the file has dsp'),
        ('tiny-dsp.pth', ['--method', 'default'], 'default', '--method says so'),
        ('adsport.pth', ['--method', 'discrete'], 'discrete', '--method says so'),
    ],
)
def test_sampling_of_version_2_is_stated_with_its_reason(name, options, method, said, convert, golden_rtdetr, tmp_path):
    weights = version_2(golden_rtdetr, [4, 2, 1])
    torch.save(weights, tmp_path / name)
    printed = convert(RTDETR, name, 'dst.pth', '--write-config', 'detector.py', *options)
    (line,) = (line for line in printed.splitlines() if line.startswith('sampling: '))
    assert line.startswith(f'sampling: {method} (') and said in line
    assert (
        'RT-DETRv2, SpaRTAN, 10 classes' in printed and f'{len(weights) - 2} of {len(weights)} tensors used' in printed
    )
    model = loaded(tmp_path)
    attention = model.decoder.layers[0].cross_attn
    assert attention.points == [4, 2, 1] and attention.is_discrete == (method == 'discrete')


@pytest.mark.parametrize(
    ('read', 'kind', 'config', 'name'),
    [
        (of_rtdetrv2, 'r18vd', 'rtdetrv2_r18vd', 'rtdetrv2_r18vd.pth'),
        (of_rtdetrv2, 'r18vd_dsp', 'rtdetrv2_r18vd_dsp', 'rtdetrv2_r18vd_dsp.pth'),
        (of_deim, 'rtdetrv2', 'deim_rtdetrv2_r18vd', 'renamed.pth'),
    ],
)
def test_config_of_version_2_and_of_deim_is_named(read, kind, config, name, convert, tmp_path):
    theirs = read(kind)
    torch.save(dict(ema=dict(module=theirs.weights | theirs.settings)), tmp_path / name)
    printed = convert(RTDETR, name, 'dst.pth')
    assert f'configs/{config}_coco.py' in printed
    assert ('activation: silu (three layers for the positions of queries' in printed) == (read is of_deim)


def test_folder_of_hugging_face_states_its_sampling(convert, tmp_path):
    pytest.importorskip('transformers', reason='transformers 4.49.0 is not installed')
    from tests.rtdetr.test_transformers import build_theirs

    theirs = build_theirs(18, version='V2', decoder_method='discrete', decoder_n_points=2)
    theirs.save_pretrained(tmp_path / 'theirs')
    printed = convert(RTDETR, 'theirs', 'dst.pth')
    assert 'sampling: discrete (config.json says so)' in printed and "'num_points': 2" in printed
    assert "'method': 'discrete'" in printed
    with pytest.raises(SystemExit, match="decoder_method is 'discrete', --method is 'default'"):
        convert(RTDETR, 'theirs', 'other.pth', '--method', 'default')
    path = tmp_path / 'theirs' / 'config.json'
    path.write_text(json.dumps(dict(json.loads(path.read_text()), decoder_method='nearest')))
    with pytest.raises(SystemExit, match="decoder_method is 'nearest'"):
        convert(RTDETR, 'theirs', 'other.pth')
    assert not (tmp_path / 'other.pth').exists()


def dfine_weights(size: str) -> dict:
    theirs = of_dfine(size)
    return theirs.weights | theirs.settings


@pytest.mark.parametrize('size', SIZES)
def test_dfine_of_each_size(size, convert, tmp_path):
    weights = dfine_weights(size)
    torch.save(dict(model=weights), tmp_path / f'dfine_{size}_coco.pth')
    printed = convert(RTDETR, f'dfine_{size}_coco.pth', 'dst.pth', '--write-config', 'detector.py')
    assert 'D-FINE, HGNetV2, 10 classes' in printed and f'configs/dfine_hgnetv2_{size}_coco.py' in printed
    left_out = [key for key in weights if key.endswith(('num_points_scale', '.up', '.reg_scale'))]
    assert f'{len(weights) - len(left_out)} of {len(weights)} tensors used' in printed
    assert all(f'left out: {key}: ' in printed for key in left_out)
    model = loaded(tmp_path)
    assert model.bbox_head.distribution.scale == (8 if size == 'x' else 4)
    assert model.backbone.frozen_norm == (size in 'lx')  # the config's


def test_dfine_with_spartan(convert, tmp_path):
    weights = with_spartan(dfine_weights('n'), 'xt')
    torch.save(weights, tmp_path / 'src.pth')
    printed = convert(RTDETR, 'src.pth', 'dst.pth')
    assert 'D-FINE, SpaRTAN, 10 classes' in printed and 'configs/dfine_spartan_xt_n_coco.py' in printed


def test_other_scale_of_distributions_fits_no_config(convert, tmp_path):
    weights = dfine_weights('n')
    weights |= {key: torch.tensor([6.0]) for key in weights if key.endswith('reg_scale')}
    torch.save(weights, tmp_path / 'src.pth')
    printed = convert(RTDETR, 'src.pth', 'dst.pth', '--write-config', 'detector.py')
    assert 'no config of this package fits' in printed and 'configs/_base_/models/dfine.py' in printed
    model = loaded(tmp_path)
    assert model.bbox_head.distribution.scale == 6


def test_dfine_without_one_of_its_tensors(convert, tmp_path):
    weights = dfine_weights('n')
    del weights['decoder.decoder.layers.1.gateway.gate.weight']
    torch.save(weights, tmp_path / 'src.pth')
    with pytest.raises(SystemExit, match=r'decoder\.layers\.1\.gate\.proj\.weight'):
        convert(RTDETR, 'src.pth', 'dst.pth')


@pytest.mark.parametrize(
    ('name', 'options', 'activation', 'said'),
    [
        ('dfine_n_coco.pth', [], 'relu', 'for a network of DEIM give --activation silu'),
        ('dfine_n_coco.pth', ['--activation', 'silu'], 'silu', '--activation says so'),
        ('deim_dfine_hgnetv2_n_coco_160e.pth', [], 'silu', 'the name of the file has deim'),
        ('deim_dfine_hgnetv2_n_coco_160e.pth', ['--activation', 'relu'], 'relu', '--activation says so'),
        ('deim_dfine_hgnetv2_n_obj2coco_24e.pth', [], 'relu', "DEIM's network of Objects365 has it"),
    ],
)
def test_activation_is_stated_with_its_reason(name, options, activation, said, convert, tmp_path):
    torch.save(dfine_weights('n'), tmp_path / name)
    printed = convert(RTDETR, name, 'dst.pth', '--write-config', 'detector.py', *options)
    (line,) = (line for line in printed.splitlines() if line.startswith('activation: '))
    assert line.startswith(f'activation: {activation} (') and said in line
    assert f'configs/{dict(relu="dfine", silu="deim")[activation]}_hgnetv2_n_coco.py' in printed
    model, kind = loaded(tmp_path), dict(relu=nn.ReLU, silu=nn.SiLU)[activation]
    parts = [
        model.decoder.query_pos_head,
        model.decoder.layers[0].ffn,
        model.bbox_head.reg_branches[0],
        model.bbox_head.initial_reg_branch,
        model.bbox_head.quality_branches[0],
    ]
    for part in parts:
        found = {type(module) for module in part.modules() if isinstance(module, nn.ReLU | nn.SiLU)}
        assert found == {kind}, part


def test_outputs_have_the_names_of_coco_or_by_the_ids_of_its_categories_of_objects365():
    default_names = runpy.run_path(str(ROOT / 'tools' / RTDETR))['default_names']
    assert (len(default_names({}, 80)), default_names({}, 80)[79]) == (80, 'toothbrush')
    names = default_names({}, 366)
    assert len(set(names)) == 366 and [names[i] for i in (0, 1, 6, 47)] == ['class 0', 'Person', 'Car', 'Bicycle']


def test_folder_of_hugging_face_with_dfine(convert, tmp_path):
    theirs = of_hugging_face('n')
    theirs.config['id2label'] = {str(i): name for i, name in enumerate(NAMES)}
    save_folder(tmp_path / 'theirs', theirs.weights | theirs.settings, theirs.config)
    printed = convert(RTDETR, 'theirs', 'dst.pth')
    assert 'D-FINE, HGNetV2, 10 classes' in printed and "'num_queries': 30" in printed
    assert f'{len(theirs.weights)} of {len(theirs.weights) + len(theirs.settings)} tensors used' in printed
    assert 'sampling: default (config.json says so)' in printed and 'activation: relu (' in printed
    assert torch.load(tmp_path / 'dst.pth', weights_only=True)['meta']['dataset_meta']['classes'] == tuple(NAMES)
    with pytest.raises(SystemExit, match="--activation is 'silu'"):
        convert(RTDETR, 'theirs', 'other.pth', '--activation', 'silu')


def test_backbone_of_dfine_initializes_ours(convert, tmp_path):
    source = MODELS.build(dict(type='HGNetV2', arch='b0'))
    perturb(source)
    weights = {key.replace('stages_', 'stages.', 1): value for key, value in source.net.state_dict().items()}
    torch.save(weights, tmp_path / 'PPHGNetV2_B0_stage1.pth')
    printed = convert(RTDETR, 'PPHGNetV2_B0_stage1.pth', 'dst.pth')
    (line,) = (line for line in printed.splitlines() if line.startswith('use: '))
    options = eval(line.removeprefix('use:').strip().removeprefix('backbone='), {})
    model = MODELS.build(dict(type='HGNetV2', arch='b0', **options))
    model.init_weights()
    expected = source.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in model.state_dict().items())
    with pytest.raises(SystemExit, match='--write-config: SRC is a backbone'):
        convert(RTDETR, 'PPHGNetV2_B0_stage1.pth', 'dst.pth', '--write-config', 'detector.py')


@pytest.mark.parametrize('size', SIZES_V2)
def test_deimv2_of_each_size(size, convert, tmp_path):
    theirs = of_deimv2(size)
    weights = theirs.weights | theirs.settings
    torch.save(dict(ema=dict(module=weights)), tmp_path / 'src.pth')
    printed = convert(RTDETR, 'src.pth', 'dst.pth', '--write-config', 'detector.py')
    assert 'DEIMv2, HGNetV2, 10 classes' in printed and f'configs/deimv2_hgnetv2_{size}_coco.py' in printed
    assert 'activation: silu (networks of DEIMv2 have no other)' in printed
    assert f'{len(theirs.weights)} of {len(weights)} tensors used' in printed
    assert all(f'left out: {key}: ' in printed for key in theirs.settings)
    assert loaded(tmp_path).num_queries == dict(atto=100, femto=150, pico=200, n=300)[size]  # the config's
    with pytest.raises(SystemExit, match="--activation is 'relu'; networks of DEIMv2 have 'silu'"):
        convert(RTDETR, 'src.pth', 'dst.pth', '--activation', 'relu')


def test_deimv2_of_other_widths(convert, tmp_path):
    theirs = of_deimv2('atto')
    weights = theirs.weights | theirs.settings
    for key in weights:  # half of the width of the feed-forward networks
        if '.swish_ffn.w12.' in key:
            weights[key] = weights[key][:80].clone()
        elif key.endswith('.swish_ffn.w3.weight'):
            weights[key] = weights[key][:, :40].clone()
    torch.save(weights, tmp_path / 'src.pth')
    printed = convert(RTDETR, 'src.pth', 'dst.pth', '--write-config', 'detector.py')
    assert 'no config of this package fits' in printed and 'configs/deimv2_hgnetv2_pico_coco.py' in printed
    model = loaded(tmp_path)
    assert model.decoder.layers[0].ffn.w3.in_features == 40


def test_deimv2_of_hugging_face(convert, tmp_path):
    theirs = of_deimv2_hugging_face('n')
    weights = theirs.weights | theirs.settings
    save_folder(tmp_path / 'theirs', weights, dict(theirs.config, num_queries=300))
    printed = convert(RTDETR, 'theirs', 'dst.pth')
    assert 'configs/deimv2_hgnetv2_n_coco.py' in printed
    left_out = len(theirs.settings) + 4
    assert f'{len(weights) - left_out} of {len(weights)} tensors used' in printed
    assert 'left out: model.enc_output.0.weight: an identity' in printed
    save_folder(tmp_path / 'theirs', weights, theirs.config)  # 30 queries, as no config has
    assert "'num_queries': 30" in convert(RTDETR, 'theirs', 'dst.pth')


def test_deimv2_of_its_authors_at_hugging_face(convert, tmp_path):
    """Files of the hub's mixin have the authors' names, and of tensors that are shared one name."""
    theirs = of_deimv2('pico')
    settings = {
        key: value
        for key, value in theirs.settings.items()
        if not key.startswith('decoder.decoder.') or 'points' in key
    }
    once = [key for key in theirs.weights if 'dec_bbox_head.' in key and 'dec_bbox_head.0.' not in key]
    weights = {key: value for key, value in (theirs.weights | settings).items() if key not in once}
    assert len(theirs.settings) - len(settings) == 2 and len(once) == 12
    save_folder(tmp_path / 'theirs', weights, dict(DEIMTransformer=dict(num_queries=200)))
    printed = convert(RTDETR, 'theirs', 'dst.pth')
    assert 'configs/deimv2_hgnetv2_pico_coco.py' in printed
    assert f'{len(weights) - len(settings)} of {len(weights)} tensors used' in printed
    torch.save(theirs.weights | theirs.settings, tmp_path / 'src.pth')
    convert(RTDETR, 'src.pth', 'other.pth')
    found, expected = (
        torch.load(tmp_path / name, weights_only=True)['state_dict'] for name in ('dst.pth', 'other.pth')
    )
    assert found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in found)
