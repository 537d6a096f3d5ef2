"""Converted weights of DEIM's networks compute what the authors' code computes."""

import pytest

from mmspartan.convert.dfine import edge_settings
from mmspartan.convert.rtdetr import points_of_levels, rtdetr_from_authors, rtdetr_options
from tests.convert.stored import of_deim


@pytest.mark.parametrize(('kind', 'base'), [('dfine', '_base_/models/dfine'), ('rtdetrv2', '_base_/models/rtdetr')])
def test_logits_and_boxes(kind, base):
    theirs = of_deim(kind)
    source = theirs.weights | theirs.settings
    weights, left_out = rtdetr_from_authors(source)
    assert left_out.keys() == theirs.settings.keys()
    options = rtdetr_options(weights, points_of_levels(source), activation='silu', edges=edge_settings(source))
    theirs.compare(base, options, weights)
    # with the other activation the same weights compute something else
    del options['bbox_head']['act_cfg']
    with pytest.raises(AssertionError):
        theirs.compare(base, options, weights)
