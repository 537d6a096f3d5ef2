"""ResNet-vd: arguments."""

import pytest
from mmengine.registry import MODELS

from tests.conftest import refuses


@pytest.mark.parametrize(
    ('options', 'option', 'value'),
    [
        (dict(depth=19), 'depth', 19),
        (dict(depth=True), 'depth', True),
        (dict(frozen_stages=5), 'frozen_stages', 5),
        (dict(out_indices=(1, 4)), 'out_indices', (1, 4)),
        (dict(out_indices=()), 'out_indices', ()),
        (dict(out_indices=(0, 2), num_stages=2), 'out_indices', (0, 2)),
    ],
)
def test_bad_argument_is_refused(options, option, value):
    with refuses('ResNetVD', option, value):
        MODELS.build(dict(type='ResNetVD', **{'depth': 18, **options}))
