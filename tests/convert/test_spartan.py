"""Weights in the authors' names become ours, all of them."""

import pytest

from mmspartan.convert.spartan import spartan_from_authors


def test_number_of_values_is_kept(golden_spartan):
    source = golden_spartan.group('sd')
    renamed = spartan_from_authors(source)
    assert sum(v.numel() for v in renamed.values()) == sum(v.numel() for v in source.values())


@pytest.mark.parametrize('name', ['layers.0.smixer.extra.weight', 'layers.0.cmixer.proj_in.weight', 'fc.weight'])
def test_unknown_name_is_an_error_that_names_it(name, golden_spartan):
    weights = golden_spartan.group('sd')
    with pytest.raises(ValueError, match=name.removeprefix('layers.0.').replace('.', r'\.')):
        spartan_from_authors({**weights, name: weights['linear.bias']})
