"""ResNet-vd: arguments."""

import pytest
from mmengine.registry import MODELS


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(depth=19), r'depth must be one of \[18, 34, 50, 101, 152\], got 19'),
        (dict(depth=True), r'depth must be one of .* got True'),
        (dict(depth=18, frozen_stages=5), r'frozen_stages must be an integer in -1\.\.4, got 5'),
        (dict(depth=18, out_indices=(1, 4)), r'out_indices must be integers in 0\.\.3, got \(1, 4\)'),
        (dict(depth=18, out_indices=()), r'out_indices must be integers in 0\.\.3, got \(\)'),
        (dict(depth=18, out_indices=(0, 2), num_stages=2), r'out_indices must be integers in 0\.\.1, got \(0, 2\)'),
    ],
)
def test_bad_argument_is_named_with_its_value_and_what_is_allowed(options, message):
    with pytest.raises(ValueError, match='ResNetVD: ' + message):
        MODELS.build(dict(type='ResNetVD', **options))
