"""The values of deformable attention: features of all levels, projected to the layout that ``grid_sample`` expects.

The plain form projects and then splits into levels. The other form splits first and multiplies from the left, which
saves a pass over the values. It has more operations, so it is for CPUs and for traced graphs.
"""

from torch import Tensor, nn
from torch.nn.functional import conv2d

from .device import on_gpu
from .tracing import is_exported, is_traced


def projected_levels(value: Tensor, proj: nn.Linear, shapes: list[tuple[int, int]]) -> list[Tensor]:
    """``proj(value)`` as feature maps.

    Args:
        value (Tensor): Features of all levels, ``(B, N, C)``.
        proj (nn.Linear): From C to C channels.
        shapes (list[tuple[int, int]]): Heights and widths of the levels, N positions together.

    Returns:
        list[Tensor]: ``(B, C, H, W)`` of each level.
    """
    sizes = [height * width for height, width in shapes]
    is_rounded = hasattr(proj, 'input_quantizer')  # by the module itself
    if is_rounded or (on_gpu(value) and not is_traced()):
        levels = proj(value).mT.contiguous().split(sizes, dim=2)
        return [level.unflatten(2, shape) for level, shape in zip(levels, shapes)]
    levels = value.mT.split(sizes, dim=2)
    if is_exported():  # runtimes compute a product with the weight as its first factor in float32 only
        maps = [level.unflatten(2, shape) for level, shape in zip(levels, shapes)]
        return [conv2d(features, proj.weight[..., None, None], proj.bias) for features in maps]
    return [(proj.weight @ level + proj.bias[:, None]).unflatten(2, shape) for level, shape in zip(levels, shapes)]
