"""Distributions of a box's edges (D-FINE, arXiv 2410.13842, Sec. 4.1): their expected values, and as training targets
the two bins next to a value.
"""

import torch
from mmdet.structures.bbox import bbox_cxcywh_to_xyxy
from torch import Tensor

from ..checks import check_integers, check_numbers, refuse
from ..ops.made_once import made_once


class EdgeDistribution:
    """Distances of four edges from where a reference box has them, each as a distribution over ``num_bins + 1`` values.

    A distance of ``scale`` is the width, or for upper and lower edge the height, of the reference box.

    Args:
        num_bins (int): Number of intervals between the values, even, at least 4. Defaults to 32.
        scale (float): Curvature of the weighting function, the paper's ``c``: larger values make the middle flatter.
            Defaults to 4.
        bound (float): Outermost but one value, relative to the side of the box, the paper's ``a``. Defaults to 0.5.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(self, num_bins: int = 32, scale: float = 4.0, bound: float = 0.5):
        check_integers('EdgeDistribution', 4, num_bins=num_bins)
        if num_bins % 2:
            refuse('EdgeDistribution', 'num_bins', 'even', num_bins)
        check_numbers('EdgeDistribution', '(0, inf)', scale=scale, bound=bound)
        self.num_bins, self.scale, self.bound = num_bins, float(scale), float(bound)

    def values(self, like: Tensor) -> Tensor:
        """Return the weighting function W(n), ``(num_bins + 1,)``, in the dtype and on the device of a tensor."""
        return weighting_function(self.num_bins, self.scale, self.bound, like.dtype, like.device)

    def boxes(self, reference: Tensor, logits: Tensor) -> Tensor:
        """Return the boxes of distributions (Eq. 2 and 3).

        Args:
            reference (Tensor): Boxes (cx, cy, w, h), ``(..., 4)``.
            logits (Tensor): Left, top, right and bottom distributions, ``(..., 4 * (num_bins + 1))``.

        Returns:
            Tensor: Boxes (cx, cy, w, h), ``(..., 4)``, in the dtype of the reference boxes.
        """
        probabilities = logits.to(reference.dtype).unflatten(-1, (4, -1)).softmax(-1)
        distances = (probabilities * self.values(reference)).sum(-1)
        center, size = reference.split(2, dim=-1)
        before, after = ((part + 0.5 * self.scale) * (size / self.scale) for part in distances.split(2, dim=-1))
        return torch.cat([center + (after - before) / 2, before + after], dim=-1)

    def targets(self, reference: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the values between which the edges of boxes are.

        Args:
            reference, boxes (Tensor): (cx, cy, w, h), ``(n, 4)``.

        Returns:
            tuple[Tensor, Tensor]: Index of the value to the left of each edge's distance, in 0..num_bins - 1, and the
            distance's position between it and the next one, in [0, 1], both ``(n, 4)``.
        """
        center, size = reference.split(2, dim=-1)
        first, last = bbox_cxcywh_to_xyxy(boxes).split(2, dim=-1)
        sides = size / self.scale + 1e-16
        distances = torch.cat([(center - first) / sides, (last - center) / sides], dim=-1) - 0.5 * self.scale
        values = self.values(distances)
        distances = distances.minimum(values[-1]).maximum(values[0])
        left = (torch.searchsorted(values, distances.contiguous(), right=True) - 1).clamp(0, self.num_bins - 1)
        low, high = values[left], values[left + 1]
        return left, (distances - low) / (high - low)


@made_once
def weighting_function(num_bins: int, scale: float, bound: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return W(n) (Eq. 4): dense near 0, with steps that grow by a constant factor, symmetric, ``(num_bins + 1,)``."""
    limit = bound * scale
    step = (limit + 1) ** (2 / (num_bins - 2))
    positive = [step**i - 1 for i in range(1, num_bins // 2)] + [2 * limit]
    return torch.tensor([-x for x in reversed(positive)] + [0.0] + positive, dtype=dtype, device=device)
