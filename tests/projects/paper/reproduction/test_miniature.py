"""What is trained in miniature, and what is said of the results."""

import pytest

from projects.paper.reproduction.miniature import networks, small, tables, trainings
from projects.paper.reproduction.miniature_table import markdown, order
from projects.paper.reproduction.order import Difference
from tests.projects.paper.reproduction.test_runs import write_log


def test_networks_are_trained_once_for_all_their_rows_seed_by_seed(tmp_path):
    planned = list(trainings(networks(), tmp_path, 3))
    assert len(planned) == 3 * 17 and [seed for *_, seed in planned] == [0] * 17 + [1] * 17 + [2] * 17
    assert [config for _, config, _ in planned[:2]] == ['miniature/rtdetr_r18vd', 'miniature/rtdetr_spartan_xt']
    assert len({run.folder for run, *_ in planned}) == 51
    assert small('ablations/table8_hybrid') == small('ablations/table7_bn_ln') == 'miniature/spartan_xt'


@pytest.mark.parametrize(
    ('mean', 'published', 'words'),
    [(0.5, 0.1, 'as in the paper'), (-0.5, -0.1, 'as in the paper'), (0.5, -0.1, 'reversed'), (0.2, 3, 'not resolved')],
)
def test_order(mean, published, words):
    assert order(Difference(mean, 0.3), published) == words


def write_results(folder, **accuracies):
    for name, seeds in accuracies.items():
        for seed, accuracy in enumerate(seeds):
            write_log(folder / 'miniature' / f'seed{seed}' / name / '1', {'accuracy/top1': accuracy, 'step': 20})


def test_table_says_which_orders_show(tmp_path):
    write_results(
        tmp_path, table8_full=(97.0, 97.2, 97.1), table8_depthwise=(96.0, 96.2, 96.1), spartan_xt=(97.2, 97.4, 97.3)
    )
    (table,) = [table for table in tables() if table.number == 8]
    lines = markdown(table, tmp_path, 3).splitlines()
    assert lines[0] == '## Table VIII: Ablation Study on Types of Convolution'
    assert lines[2] == '| model | config | top-1 (%) | paper | difference from full | paper | order |'
    assert lines[4:7] == [
        '| full | `miniature/table8_full` | 97.10 ± 0.10 | 74.1 |  |  |  |',
        '| depthwise | `miniature/table8_depthwise` | 96.10 ± 0.10 | 73.2 | -1.00 ± 0.00 | -0.9 | as in the paper |',
        '| hybrid | `miniature/spartan_xt` | 97.30 ± 0.10 | 73.9 | +0.20 ± 0.00 | -0.2 | reversed |',
    ]
    assert lines[8:] == [
        'Pairs of rows: 2 as in the paper, 1 reversed, 0 not resolved.',
        '',
        '- as in the paper: full > depthwise; hybrid > depthwise.',
        '- reversed: hybrid > full.',
    ]


def test_rows_that_are_not_trained_are_named(tmp_path):
    write_results(tmp_path, table8_full=(97.0, 97.2, 97.1), table8_depthwise=(96.0, 96.2), spartan_xt=(97, 97, 97))
    (table,) = [table for table in tables() if table.number == 8]
    text = markdown(table, tmp_path, 3)
    assert text.endswith('\nNot trained with 3 seeds: depthwise.\n') and '| depthwise' not in text
    assert '| depthwise | `miniature/table8_depthwise` | 96.10 ± 0.14 |' in markdown(table, tmp_path, 2)


def test_detectors_are_compared_by_ap_in_points(tmp_path):
    for seed in range(2):
        for name, ap in (('rtdetr_r18vd', 0.5), ('rtdetr_spartan_xt', 0.52 + seed / 100)):
            folder = tmp_path / 'miniature' / f'seed{seed}' / name / '1'
            write_log(folder, {'coco/bbox_mAP': ap, 'step': 4})
    lines = markdown(tables()[0], tmp_path, 2).splitlines()
    assert lines[2] == '| model | config | AP | paper | difference from RT-DETR SpaRTAN-XT | paper | order |'
    assert lines[4].startswith(
        '| RT-DETR ResNet-18 | `miniature/rtdetr_r18vd` | 50.00 ± 0.00 | 46.4 | -2.50 ± 6.35 | -2.1 |'
    )
    assert lines[-1] == 'Pairs of rows: 0 as in the paper, 0 reversed, 1 not resolved.'
