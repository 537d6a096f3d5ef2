"""The detectors have the parameters and FLOPs that were published."""

import pytest

from mmspartan import config_path
from tests.conftest import ROOT
from tests.docs.scripts import run_here

RTDETR = {  # SpaRTAN paper, Table III, and RT-DETR's repository: parameters and FLOPs
    'rtdetr_spartan_xt_coco': (20.0e6, 72.8e9),
    'rtdetr_spartan_t_coco': (21.5e6, 75.9e9),
    'rtdetr_r18vd_coco': (20.2e6, 61.2e9),
    'rtdetr_r34vd_coco': (31.4e6, 93.3e9),
    'rtdetr_r101vd_coco': (76.0e6, 259.0e9),
    'rtdetrv2_r18vd_coco': (20.0e6, 60.0e9),
}
# Parameters as published; FLOPs of the authors' networks as they are counted here. The authors' own tool does not count
# products of two activations in attention, nor additions and multiplications of tensors. It gives 7.2, 25.2, 56.7, 91.0
# and 202.5 G for D-FINE.
OTHERS = {
    'dfine_hgnetv2_n_coco': (3.8e6, 7.524e9),
    'dfine_hgnetv2_s_coco': (10.2e6, 25.789e9),
    'dfine_hgnetv2_m_coco': (19.2e6, 57.513e9),
    'dfine_hgnetv2_l_coco': (31e6, 92.126e9),
    'dfine_hgnetv2_x_coco': (62e6, 203.860e9),
    'deimv2_hgnetv2_atto_coco': (0.5e6, 0.79e9),
    'deimv2_hgnetv2_femto_coco': (1.0e6, 1.73e9),
    'deimv2_hgnetv2_pico_coco': (1.5e6, 5.30e9),
    'deimv2_hgnetv2_n_coco': (3.6e6, 7.20e9),
}
SPARTAN = {  # as in docs/comparison.md
    'dfine_spartan_t_coco': (11.66e6, 33.0e9),
    'dfine_spartan_xt_coco': (10.10e6, 29.9e9),
    'dfine_spartan_xt_n_coco': (3.80e6, 12.5e9),
}


@pytest.fixture(scope='module')
def rows() -> dict[str, list[float]]:
    """Parameters and FLOPs by the name of the config, each counted and published."""
    names = [*RTDETR, *OTHERS, *SPARTAN]
    printed = run_here(ROOT / 'tools' / 'analysis_tools' / 'get_flops.py', *map(config_path, names), cwd=ROOT)
    found = {}
    for name, *cells in (line.split() for line in printed.splitlines() if '_coco ' in line):
        numbers = [float(cell.replace(',', '').replace('-', 'nan')) for cell in cells[1:] if cell not in 'MG']
        found[name] = [number * scale for number, scale in zip(numbers, (1, 1e6, 1e9, 1e9))]
    assert list(found) == names
    return found


@pytest.mark.parametrize('name', RTDETR)
def test_of_rtdetr(name, rows):
    # published are those of the authors' code, which makes boxes of all 8400 features, not of the 300 selected alone
    width = 384 if 'r101' in name else 256
    unselected = 2 * (8400 - 300) * (2 * width * width + width * 4)
    parameters, _, flops, published = rows[name]
    assert (parameters, flops + unselected) == pytest.approx(RTDETR[name], rel=0.02)
    assert published == pytest.approx(RTDETR[name][1])


@pytest.mark.parametrize('name', OTHERS)
def test_of_d_fine_and_deim_version_2(name, rows):
    parameters, _, flops, published = rows[name]
    assert parameters == pytest.approx(OTHERS[name][0], rel=0.01, abs=0.05e6)  # published to 0.1 M
    assert flops == pytest.approx(OTHERS[name][1], rel=0.01)
    assert 0.98 < flops / published < 1.08


@pytest.mark.parametrize('name', SPARTAN)
def test_of_spartan_in_d_fine(name, rows):
    parameters, _, flops, _ = rows[name]
    assert (parameters, flops) == pytest.approx(SPARTAN[name], rel=0.005)
