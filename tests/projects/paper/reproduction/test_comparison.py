"""Differences from the paper, and which of them need a reason."""

import pytest

from projects.paper.reproduction.comparison import Cell, cells
from projects.paper.reproduction.render import UNKNOWN, as_csv, markdown
from projects.paper.reproduction.tables import Row, Table

TABLE = Table(
    5,
    'Title',
    (
        Row('one', 'spartan_xt_in1k', dict(parameters='2.2', flops='0.64', top1='73.9')),
        Row('two', 'spartan_t_in1k', dict(parameters='3.8', flops='0.83', top1='77.1'), dict(flops='a reason')),
    ),
)
VALUES = [dict(parameters=2.154e6, flops=0.7e9, memory=1e7, top1=74.4), dict(parameters=3.8e6, flops=0.7e9, memory=2e7)]


@pytest.mark.parametrize(
    ('column', 'ours', 'published', 'difference', 'needs_reason'),
    [
        ('flops', 0.66, '0.64', 3.125, True),
        ('flops', 0.645, '0.64', 0.78125, False),
        ('parameters', 2.154, '2.2', -2.0909, False),  # rounds to 2.2
        ('parameters', 2.14, '2.2', -2.727, True),
        ('top1', 70.0, '73.9', -3.9, False),  # in points, and no count
        ('ap', 46.0, '46.4', -0.4, False),
        ('throughput', 10.0, '3008', None, False),  # of another machine
        ('flops', None, '0.64', None, False),
        ('memory', 10.0, None, None, False),
    ],
)
def test_difference(column, ours, published, difference, needs_reason):
    cell = Cell(column, ours, None, published)
    assert cell.difference == (None if difference is None else pytest.approx(difference, abs=1e-3))
    assert cell.needs_reason == needs_reason


def test_figures_are_in_the_unit_of_their_column():
    (row,) = [cells(TABLE, TABLE.rows[0], dict(parameters=2e6, flops=5e8, throughput=(10.0, 0.5)))]
    figures = {cell.column: cell.ours for cell in row}
    assert (figures['parameters'], figures['flops'], figures['memory'], figures['top1']) == (2.0, 0.5, None, None)


def test_markdown_has_the_paper_beside_each_figure_and_a_reason_below():
    lines = markdown(TABLE, VALUES).splitlines()
    head = '| model | config | parameters (M) | paper | difference | FLOPs (G) | paper | difference | memory (MB) |'
    assert lines[2].startswith(head)
    assert '| 2.15 | 2.2 | -2.1 % | 0.700 | 0.64 | +9.4 % | 10.0 | 74.4 | 73.9 | +0.5 |' in lines[4]
    assert lines[5].endswith('| 20.0 |  | 77.1 |  |')
    assert lines[-2:] == [f'- FLOPs (G) of one: {UNKNOWN}.', '- FLOPs (G) of two: a reason.']


def test_markdown_without_trainings_names_the_papers_accuracies():
    text = markdown(TABLE, [dict(parameters=1e6), {}])
    assert (
        text.splitlines()[2]
        == '| model | config | parameters (M) | paper | difference | FLOPs (G), paper | top-1 (%), paper |'
    )


def test_csv_has_a_line_for_each_figure():
    lines = as_csv(TABLE, VALUES).splitlines()
    assert len(lines) == 1 + 2 * 4
    assert '5,two,spartan_t_in1k,FLOPs (G),0.7,,0.83,-15.6627,a reason' in lines
