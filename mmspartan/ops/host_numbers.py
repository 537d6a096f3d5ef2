"""Numbers of the host as tensors on the device of the features."""

from collections.abc import Sequence

import torch
from torch import Tensor


def tensor_like(like: Tensor, numbers: float | Sequence, dtype: torch.dtype | None = None) -> Tensor:
    """Numbers as a tensor on the device of ``like``, and of its dtype by default.

    ``like.new_tensor(numbers)`` waits until a GPU has computed all that is queued, and leaves it idle after that.
    """
    return torch.tensor(numbers, dtype=dtype or like.dtype, device='cpu').to(like.device, non_blocking=True)
