import pytest

from mmspartan.errors import InputError
from mmspartan.runs.runner import ResumableRunner


def test_unknown_collate_function_is_named():
    with pytest.raises(InputError, match=r"collate_fn\.type of a data loader: 'pseudo_colate' is no registered"):
        ResumableRunner.build_dataloader(dict(collate_fn=dict(type='pseudo_colate')))
