"""Averaged weights in a handful of operations a step, where mmdet's loop launches three for each tensor."""

import math

import torch
from mmdet.models.layers import ExpMomentumEMA
from mmengine.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class ForeachExpMomentumEMA(ExpMomentumEMA):
    """mmdet's ``ExpMomentumEMA``, which takes the same arguments and computes the same values.

    A tensor that a model has under several names is averaged once a step. mmdet's loop, with ``update_buffers=True``,
    averages it once for each name.

    On a GPU the time of a step is the number of operations that it launches: the loop over the tensors of
    ``rtdetr_spartan_t_coco`` launches 5,302 of them.
    """

    _collecting = False

    def update_parameters(self, model: nn.Module) -> None:
        self._averaged: list[Tensor] = []
        self._source: list[Tensor] = []
        self._addresses: set[int] = set()
        self._collecting = True
        steps = self.steps.clone()
        super().update_parameters(model)
        if self._averaged:
            momentum = (1 - self.momentum) * math.exp(-float(1 + steps) / self.gamma) + self.momentum
            torch._foreach_mul_(self._averaged, 1 - momentum)
            torch._foreach_add_(self._averaged, self._source, alpha=momentum)
        del self._averaged, self._source, self._addresses
        self._collecting = False

    def avg_func(self, averaged_param: Tensor, source_param: Tensor, steps: Tensor) -> None:
        """Average a tensor; within ``update_parameters``, which computes all of them at once, collect it."""
        if not self._collecting:
            return super().avg_func(averaged_param, source_param, steps)
        if averaged_param.numel() and averaged_param.data_ptr() in self._addresses:
            return
        self._addresses.add(averaged_param.data_ptr())
        self._averaged.append(averaged_param)
        self._source.append(source_param)
