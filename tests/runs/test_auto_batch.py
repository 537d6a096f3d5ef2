"""The batch that fits into a memory."""

import pytest

from mmspartan.errors import InputError
from mmspartan.runs.auto_batch import fitting_batch
from tests.conftest import DATA, last_line

GIB = 2**30


@pytest.mark.parametrize(
    ('available', 'batch'), [(3, 2), (4.9, 2), (5, 4), (8, 4), (9, 8), (16.5, 8), (17, 16), (26, 24), (9999, 512)]
)
def test_largest_batch_that_fits(available, batch):
    asked = []

    def memory_of(number: int) -> int:  # a GiB for the model and one for each image
        asked.append(number)
        return (1 + number) * GIB

    assert fitting_batch(memory_of, int(available * GIB)) == batch
    assert asked == [2, 4] and (batch == 512 or (1 + batch) <= available)


def test_model_that_is_too_large():
    with pytest.raises(InputError, match=r'--auto-batch: a batch of 2 takes 5.0 GiB of 4.0: use smaller images'):
        fitting_batch(lambda batch: (3 + batch) * GIB, 4 * GIB)


def test_without_a_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    message = last_line('train.py', DATA / 'digits_quick.py', '--auto-batch', cwd=tmp_path)
    assert message == '--auto-batch needs a GPU; set train_dataloader.batch_size'
