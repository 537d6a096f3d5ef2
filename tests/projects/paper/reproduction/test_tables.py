"""The published figures, beside what is counted here, and in the metafiles."""

from pathlib import Path

import pytest
import yaml

from projects.paper.reproduction.comparison import cells
from projects.paper.reproduction.configs import ROOT, config_file, config_path
from projects.paper.reproduction.counts import counted
from projects.paper.reproduction.render import markdown
from projects.paper.reproduction.tables import TABLES, Row, Table

CONFIGS = ROOT / 'projects' / 'paper' / 'configs'
ROWS = [row for table in TABLES for row in table.rows]
# Others: ../configs/. Tables IV, VI and VII have no published costs.
COUNTED = [(table, row) for table in TABLES if table.number in (2, 5, 8) for row in table.rows if '/' in row.config]
# What the reasons say: figures in units of 1e9.
CLAIMS = {
    'peers/efficientnet_b0_in1k': dict(macs=0.39),
    'peers/vit_c_1gf_in1k': dict(flops=1.08 - 0.164),
    'peers/pvt_t_in1k': dict(flops=1.94),
    'peers/efficientformerv2_s0_in1k': dict(flops=0.407),
    'peers/convnext_xt_in1k': dict(flops=4.5 / 4),
    'ablations/table8_full': dict(macs=0.7542),
    'ablations/table8_depthwise': dict(macs=0.5392, flops=0.5392 + 0.0131),
    'ablations/table8_hybrid': dict(macs=0.6144),
}


@pytest.mark.parametrize(('table', 'row'), COUNTED, ids=lambda value: getattr(value, 'config', ''))
def test_a_count_that_differs_by_more_than_2_percent_has_a_reason_and_no_other_has(table: Table, row: Row):
    figures = counted(row, memory=False)
    found = {cell.column for cell in cells(table, row, figures) if cell.needs_reason}
    assert found == set(row.why)
    for column, value in CLAIMS.get(row.config, {}).items():
        assert figures[column] / 1e9 == pytest.approx(
            value, rel=0.001 if column == 'macs' and 'table8' in row.config else 0.03
        )


def test_each_peer_and_ablation_is_a_row():
    configs = {row.config for row in ROWS}
    files = {f'{folder}/{path.stem}' for folder in ('peers', 'ablations') for path in (CONFIGS / folder).glob('*.py')}
    assert files == {config for config in configs if '/' in config}
    assert all(Path(config_path(config)).is_file() for config in configs)


def test_metafiles_have_the_figures_of_the_tables():
    index = yaml.safe_load((CONFIGS.parent / 'model-index.yml').read_text())['Import']
    models = [model for path in index for model in yaml.safe_load((CONFIGS.parent / path).read_text())['Models']]
    listed = {model['Config']: model for model in models}
    assert len(listed) == len(models)
    for row in ROWS:
        model, published = listed[config_file(row.config)], row.published
        assert model['Name'] == Path(row.config).name
        costs = model.get('Metadata', {})
        assert ('Parameters' in costs) == ('parameters' in published)
        if costs:
            assert costs['Parameters'] == pytest.approx(float(published['parameters']) * 1e6)
            assert costs['FLOPs'] == pytest.approx(float(published['flops']) * 1e9)
        (result,) = model['Results']
        is_detector = 'ap' in published
        assert result['Dataset'] == ('COCO' if is_detector else 'ImageNet-1k')
        score, name = ('ap', 'box AP') if is_detector else ('top1', 'Top 1 Accuracy')
        assert result['Metrics'] == {name: float(published[score])}


def test_the_documentation_has_the_tables_as_they_are_printed():
    text = (ROOT / 'docs' / 'reproduction.md').read_text()
    for table, row in COUNTED:
        values = counted(row, memory=False)
        line = next(
            line for line in markdown(table, [values] * len(table.rows)).splitlines() if f'`{row.config}`' in line
        )
        costs = ' | '.join(line.split(' | ')[: 8 if table.number < 8 else 11])
        assert costs in text, f'{row.config}: the costs that reproduce.py prints are not in docs/reproduction.md'
    for table in TABLES:
        for reason in {why for row in table.rows for why in row.why.values()}:
            assert f': {reason}.' in text
