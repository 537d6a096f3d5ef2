"""The tables of the paper's open questions: what is run, and what is said of the results."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS

import mmspartan
from projects.paper.reproduction import low_bits, near_ties, pruning
from projects.paper.reproduction.configs import config_path
from projects.paper.reproduction.networks import KERNELS, PEERS
from tests.projects.paper.reproduction.test_runs import write_log

ARCH = dict(channels=(16, 32, 48, 64), depths=(1, 1, 2, 1), expand_ratios=(4, 4, 2, 2))


def test_networks_of_the_kernels_differ_and_are_the_same_on_both_images():
    found = {}
    for folder, configs in KERNELS.configs.items():
        networks = [repr(MODELS.build(Config.fromfile(config_path(config)).model.backbone)) for config in configs]
        found[folder] = set(networks)
        assert len(found[folder]) == len(configs)
    assert len(found['miniature']) == 8 and len(found['photographs']) == 5 and found['photographs'] < found['miniature']


def test_peers_are_trained_by_one_recipe():
    recipes, models = [], []
    for config in PEERS.configs['photographs']:
        recipe = Config.fromfile(config_path(config)).to_dict()
        models.append(MODELS.build({**recipe.pop('model'), '_scope_': 'mmpretrain'}))
        recipes.append(recipe)
    assert all(recipe == recipes[0] for recipe in recipes)
    for model in models:
        assert model(torch.zeros(2, 3, 64, 64), mode='tensor').shape == (2, 10)


def test_kernels_are_compared_with_the_published_ones(tmp_path, monkeypatch):
    monkeypatch.setitem(KERNELS.configs, 'miniature', ('miniature/spartan_xt', 'kernels/7'))
    for (folder, name), values in {('miniature', 'spartan_xt'): (97.0, 97.2), ('kernels', '7'): (97.5, 97.7)}.items():
        for seed, value in enumerate(values):
            write_log(tmp_path / folder / f'seed{seed}' / name / '1', {'accuracy/top1': value, 'step': 20})
    *_, published, larger = KERNELS.markdown(tmp_path, 2, 'miniature').splitlines()
    assert published.startswith('| `miniature/spartan_xt` | 97.10 ± 0.14 |  | 0.14')
    assert larger.startswith('| `kernels/7` | 97.60 ± 0.14 | +0.50 ± 0.00 | 0.1')
    assert KERNELS.markdown(tmp_path, 3, 'miniature') == 'miniature/spartan_xt: not trained with 3 seeds.\n'


@pytest.fixture
def two_variants(monkeypatch):
    monkeypatch.setattr(pruning, 'VARIANTS', [(0.0, ''), (0.25, 'taylor')])


def test_networks_are_pruned_once_and_fine_tuned_until_they_are_done(tmp_path, two_variants):
    whole, pruned = (command.words[-1] for command in pruning.commands(tmp_path, 1))
    base, weights = config_path('miniature/spartan_xt'), tmp_path / 'miniature/seed0/spartan_xt/epoch_20.pth'
    assert 'compress.py' not in whole and f'load_from={weights}' in whole
    assert f'compress.py prune {base} {weights} --ratio 0.25' in pruned
    folder = pruning.folder_of(0.25, 'taylor', tmp_path, 0)
    (folder / 'pruned').mkdir(parents=True)
    (folder / 'pruned' / 'config.py').touch()
    *_, pruned = (command.words[-1] for command in pruning.commands(tmp_path, 1))
    assert 'compress.py' not in pruned and f'load_from={folder}/pruned/pruned.pth' in pruned
    write_log(folder / 'train' / '1', {'accuracy/top1': 97.0, 'step': pruning.EPOCHS['miniature']})
    assert [command.name for command in pruning.commands(tmp_path, 1)] == ['pruned 0%  seed 0']
    *_, on_photographs = (command.words[-1] for command in pruning.commands(tmp_path, 1, 'photographs'))
    weights = tmp_path / 'photographs' / 'seed0' / 'spartan_xt' / 'epoch_10.pth'
    assert f'compress.py prune {config_path("photographs/spartan_xt")} {weights} ' in on_photographs
    assert f'max_epochs={pruning.EPOCHS["photographs"]} ' in on_photographs


def test_pruned_networks_are_compared_with_the_whole_one(tmp_path, two_variants):
    assert pruning.markdown(tmp_path, 2).startswith('Not all')
    arch = dict(ARCH, smixer_widths=[8, 8, 12, 24, 16], cmixer_widths=[48, 64, 96, 48, 64])
    for seed, values in enumerate([(97.0, 96.5), (97.2, 96.7)]):
        for (ratio, importance), value in zip(pruning.VARIANTS, values):
            folder = pruning.folder_of(ratio, importance, tmp_path, seed)
            write_log(folder / 'train' / '1', {'accuracy/top1': value, 'step': pruning.EPOCHS['miniature']})
            (folder / 'pruned').mkdir()
            base = config_path('miniature/spartan_xt')
            config = f"_base_ = '{base}'\nmodel = dict(backbone=dict(arch=dict(_delete_=True, **{arch})))"
            (folder / 'pruned' / 'config.py').write_text(config)
    *_, whole, pruned = pruning.markdown(tmp_path, 2).splitlines()
    assert whole == '| whole | 97.10 ± 0.14 | 143 |  |  |  |'
    assert pruned == '| 25% by taylor | 96.60 ± 0.14 | 96 | -0.50 ± 0.00 | 100% 50% 75% 50% | 75% 50% 75% 50% |'
    pruning.draw(tmp_path, 2, 'miniature', tmp_path / 'shares.png')
    assert (tmp_path / 'shares.png').read_bytes().startswith(b'\x89PNG')


def test_networks_are_quantized_once_and_evaluated_and_trained_until_they_are_done(tmp_path):
    evaluation, whole, *others = low_bits.commands(tmp_path, 1)
    weights = str(tmp_path / 'miniature' / 'seed0' / 'spartan_xt' / 'epoch_20.pth')
    base = config_path('miniature/spartan_xt')
    assert evaluation.words[2:] == [low_bits.__name__, base, weights, str(low_bits.untrained(tmp_path, 0))]
    assert 'compress.py' not in whole.words[-1] and f'load_from={weights}' in whole.words[-1]
    assert f'compress.py quantize {base} {weights} --weight-bits=4 ' in others[1].words[-1]
    done = low_bits.folder_of('W4A8', tmp_path, 0)
    (done / 'quantized').mkdir(parents=True)
    (done / 'quantized' / 'config.py').touch()
    assert 'compress.py' not in [*low_bits.commands(tmp_path, 1)][3].words[-1]
    write_log(done / 'train' / '1', {'accuracy/top1': 97.0, 'step': low_bits.EPOCHS})
    low_bits.untrained(tmp_path, 0).touch()
    assert [command.name for command in low_bits.commands(tmp_path, 1)] == [
        'float seed 0', 'W8A8 seed 0', 'W4A8, stem and downsampling W8 seed 0',
    ]  # fmt: skip


def test_quantized_networks_are_compared_with_floating_point(tmp_path):
    assert low_bits.markdown(tmp_path, 2).startswith('Not all')
    names = [*low_bits.BITS, *low_bits.PROFILE]
    for seed in range(2):
        for name in (low_bits.FLOAT, *low_bits.BITS):
            folder = low_bits.folder_of(name, tmp_path, seed) / 'train' / '1'
            write_log(folder, {'accuracy/top1': 97.0 + seed, 'step': low_bits.EPOCHS})
        found = {name: 90.0 + seed + i for i, name in enumerate(names)}
        low_bits.untrained(tmp_path, seed).write_text(json.dumps(found))
    lines = low_bits.markdown(tmp_path, 2).splitlines()
    assert lines[2:4] == ['| float | 97.50 ± 0.71 |  |', '| W8A8 | 90.50 ± 0.71 | -7.00 ± 0.00 |']
    assert lines[4] == '| W8A8, trained | 97.50 ± 0.71 | +0.00 ± 0.00 |'
    assert lines[-1] == '| gates | 98.50 ± 0.71 | +1.00 ± 0.00 |'


def test_predictions_that_change_are_counted():
    expected = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.5, 0.4], [0.4, 0.35, 0.25], [0.2, 0.1, 0.7], [0.6, 0.3, 0.1]])
    truth, labels = torch.tensor([0, 2, 1, 2, 0]), torch.tensor([0, 2, 2, 2, 1])
    assert near_ties.compare(labels, expected, truth) == dict(
        images=5, right=3, changed=3, gained=1, lost=1, margin=pytest.approx(0.1)
    )


def test_two_classifiers_are_evaluated_once(tmp_path):
    photographs, digits = near_ties.commands(tmp_path, 1)
    assert photographs.words[2:5] == [
        near_ties.__name__, config_path('spartan_xt_cifar10'), mmspartan.weights('spartan_xt_cifar10'),
    ]  # fmt: skip
    assert digits.words[4] == str(tmp_path / 'miniature' / 'seed0' / 'spartan_xt' / 'epoch_20.pth')
    assert near_ties.markdown(tmp_path, 1) == 'The classifier of CIFAR-10 is not evaluated.\n'
    same = dict(images=10000, right=8000, changed=0, gained=0, lost=0, margin=0.0)
    found = {'float': same, 'W8A8': dict(same, right=7990, changed=40, gained=10, lost=20, margin=0.0625)}
    for command in (photographs, digits):
        path = Path(command.words[-1])
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(found))
    assert not [*near_ties.commands(tmp_path, 1)]
    assert near_ties.markdown(tmp_path, 1).splitlines()[2:4] == [
        '| CIFAR-10 | float | 80.00 |  |  |  |',
        '| CIFAR-10 | W8A8 | 79.90 | -0.10 ± 0.11 | 40 of 10,000 | 0.062 |',
    ]
