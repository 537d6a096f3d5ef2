"""Files of safetensors: what is written, and what of others is read."""

import re

import pytest
import torch
from safetensors.torch import save_file

from mmspartan.checkpoints.checkpoint import read_checkpoint
from mmspartan.checkpoints.safetensors_file import float16_safetensors
from mmspartan.errors import InputError


def test_weights_are_halves_and_may_share_memory(tmp_path):
    shared = torch.arange(4)
    weights = {'a': torch.tensor([[0.5, 2.0]]).mT, 'b': shared, 'c': shared}
    (tmp_path / 'a.safetensors').write_bytes(float16_safetensors(weights, ['cat', 'dog']))
    read = read_checkpoint(tmp_path / 'a.safetensors')
    assert read['meta']['dataset_meta']['classes'] == ('cat', 'dog')
    assert read['state_dict'].keys() == weights.keys() and read['state_dict']['a'].dtype == torch.float16
    assert all(torch.equal(read['state_dict'][key].to(value.dtype), value) for key, value in weights.items())


@pytest.mark.parametrize('value', [1e5, float('nan')])
def test_values_outside_of_float16_are_refused(value):
    with pytest.raises(InputError, match=r'^head\.weight: '):
        float16_safetensors({'head.weight': torch.tensor([0.0, value])}, [])


@pytest.mark.parametrize('text', ['5', '"ab"', 'cat,dog', '[1, 2]'])
def test_metadata_of_others_names_no_classes(text, tmp_path):
    save_file({'a': torch.zeros(2)}, tmp_path / 'theirs.safetensors', {'classes': text})
    read = read_checkpoint(tmp_path / 'theirs.safetensors')
    assert read['meta'] == {} and read['state_dict']['a'].shape == (2,)


def test_damaged_file_is_named(tmp_path):
    path = tmp_path / 'a.safetensors'
    path.write_bytes(float16_safetensors({'a': torch.zeros(9)}, [])[:-5])
    with pytest.raises(InputError, match=rf'^{re.escape(str(path))}: damaged'):
        read_checkpoint(path)
