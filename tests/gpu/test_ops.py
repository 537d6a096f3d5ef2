"""The tests of ``tests/ops`` with all tensors on the GPU."""

import pytest
import torch

from mmspartan.ops.host_numbers import tensor_like
from tests.gpu.conftest import no_waits
from tests.ops.test_ops import (  # noqa: F401 - run here once more
    seed,
    test_gated_projection,
    test_modulated_convolution,
    test_normalization_of_a_single_value_is_refused,
    test_pairs_are_exchanged,
    test_superposition,
)


@pytest.fixture(autouse=True)
def on_the_gpu(seed):  # noqa: F811
    with torch.device('cuda'):
        yield


def test_numbers_of_the_host_do_not_wait():
    x = torch.zeros(3, dtype=torch.float64)
    with no_waits():
        found = tensor_like(x, [1, 2, 3])
        with pytest.raises(RuntimeError, match='synchronizing'):
            x.new_tensor([1, 2, 3])
    assert found.dtype == x.dtype and found.device == x.device and found.tolist() == [1, 2, 3]
