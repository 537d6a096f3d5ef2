"""An ONNX file as a model of mmengine: the Runner evaluates it with the config's own data and metric."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from torch import Tensor

from ..errors import InputError
from .session import Session
from .tasks import TASKS, task_of_outputs


@MODELS.register_module()
class ExportedModel(BaseModel):
    """Predicts by a file that ``tools/export_onnx.py`` wrote; for evaluation alone.

    Args:
        path, backend, threads: As :class:`Session` takes them.
    """

    def __init__(self, path: str, backend: str = 'onnxruntime', threads: int | None = None):
        super().__init__(data_preprocessor=dict(type='mmengine.BaseDataPreprocessor'))
        self.session = Session(path, backend, threads)
        task = task_of_outputs(self.session.outputs)
        if task is None:
            raise InputError(f'{path}: not a file of tools/export_onnx.py: its outputs are {self.session.outputs}')
        self.task = task

    def forward(self, inputs: Tensor | Sequence[Tensor], data_samples: list, mode: str = 'predict') -> list:
        """
        Args:
            inputs: Images of one size as the pipeline packs them, ``(3, H, W)``, 0 to 255.
            data_samples: Of mmdet or mmpretrain; predictions are added to them.

        Raises:
            ValueError: If the file is of another task.
        """
        found = type(data_samples[0]).__name__
        if found != self.task.sample:
            other = next((f'a {task.name}' for task in TASKS if task.sample == found), f'another task ({found})')
            raise InputError(f'{self.session.path}: is a {self.task.name}, the config is of {other}')
        outputs = self.session(**self.task.feed(inputs, data_samples))
        for i, sample in enumerate(data_samples):
            self.task.write(sample, {name: torch.from_numpy(array[i, ...]) for name, array in outputs.items()})
        return data_samples
