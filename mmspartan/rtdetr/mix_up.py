"""MixUp of a batch, half of the dense one-to-one matching of DEIM (Huang et al., CVPR 2025, arXiv 2412.04234).

Differs from the authors' code, whose data loader mixes on the CPU:

* The data preprocessor mixes, on the device of the model.
* A batch of one image is not mixed. The authors' code would mix it with itself, and have each box twice.
* :class:`~mmspartan.runs.hooks.stage_hook.StageHook` sets the epochs in which it runs.
"""

import random
from collections.abc import Sequence

import torch
from mmdet.structures import SampleList
from mmengine.registry import MODELS
from mmengine.structures import InstanceData
from torch import Tensor, nn

from ..checks import check_numbers, check_range


@MODELS.register_module()
class BatchMixUp(nn.Module):
    """Mixes each image of a batch with the previous one, and the first with the last; objects of both are kept.

    All pixels of a batch have one ratio. It is drawn from Python's generator, which
    :class:`~mmspartan.runs.runner.ResumableRunner` seeds by the process and the iteration: a resumed run mixes as an
    interrupted one would have. Processes mix independently of each other.

    Args:
        prob (float): Probability that a batch is mixed, in [0, 1]. Defaults to 0.5.
        ratio (Sequence[float]): Lowest and highest weight of an image itself, in [0, 1]; the other image has the rest.
            Defaults to (0.45, 0.55).
        otherwise (dict, optional): Config of an augmentation of the batches that are not mixed. Defaults to None.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(self, prob: float = 0.5, ratio: Sequence[float] = (0.45, 0.55), otherwise: dict | None = None):
        super().__init__()
        check_numbers('BatchMixUp', '[0, 1]', prob=prob)
        check_range('BatchMixUp', '[0, 1]', ratio=ratio)
        self.prob = prob
        self.ratio = tuple(ratio)
        self.otherwise = MODELS.build(otherwise) if otherwise else None

    def forward(self, inputs: Tensor, data_samples: SampleList) -> tuple[Tensor, SampleList]:
        """Mix images ``(B, 3, H, W)``, and append the objects of the other image, including ignored ones."""
        if len(inputs) < 2 or random.random() >= self.prob:
            return self.otherwise(inputs, data_samples) if self.otherwise else (inputs, data_samples)
        mixed = torch.lerp(inputs.roll(1, 0), inputs, random.uniform(*self.ratio))
        samples = [sample.clone() for sample in data_samples]
        for i, sample in enumerate(samples):
            other = data_samples[i - 1]
            for name in ('gt_instances', 'ignored_instances'):
                if name in sample:
                    sample.set_data({name: InstanceData.cat([sample.get(name), other.get(name)])})
            shapes = {name: (sample.get(name), other.get(name)) for name in ('img_shape', 'pad_shape')}
            sample.set_metainfo({name: tuple(map(max, *pair)) for name, pair in shapes.items()})
        return mixed, samples
