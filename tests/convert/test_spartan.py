"""Weights in the authors' names become ours; ``tests/spartan/test_golden.py`` compares what they compute."""

import pytest

from mmspartan.convert.spartan import spartan_from_authors


@pytest.mark.parametrize('name', ['layers.0.smixer.extra.weight', 'layers.0.cmixer.proj_in.weight', 'fc.weight'])
def test_unknown_name_is_an_error_that_names_it(name, golden_spartan):
    weights = golden_spartan.group('sd')
    with pytest.raises(ValueError, match=name.removeprefix('layers.0.').replace('.', r'\.')):
        spartan_from_authors({**weights, name: weights['linear.bias']})
