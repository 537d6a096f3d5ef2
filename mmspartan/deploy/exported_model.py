"""An exported model as a model of mmengine, which the Runner evaluates with the config's data and metric."""

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
    """Runs a file of ``tools/export_onnx.py``. It cannot be trained.

    Args:
        path, backend, threads, precision: As in :class:`~mmspartan.deploy.session.Session`.

    Raises:
        ValueError: If the file does not have the outputs of ``tools/export_onnx.py``, or ``Session`` raises one.
    """

    def __init__(
        self, path: str, backend: str = 'onnxruntime', threads: int | None = None, precision: str | None = None
    ):
        super().__init__(data_preprocessor=dict(type='mmengine.BaseDataPreprocessor'))
        self.session = Session(path, backend, threads, precision=precision)
        task = task_of_outputs(self.session.outputs)
        if task is None:
            raise InputError(f'{path}: not a file of tools/export_onnx.py: its outputs are {self.session.outputs}')
        self.task = task

    def forward(self, inputs: Tensor | Sequence[Tensor], data_samples: list, mode: str = 'predict') -> list:
        """Predict for a batch of images.

        Args:
            inputs: Images ``(3, H, W)`` of one size from the test pipeline, BGR, 0 to 255.
            data_samples: Data samples of mmdet or mmpretrain.

        Returns:
            list: The data samples with predictions.

        Raises:
            ValueError: If the model is for another task.
        """
        found = type(data_samples[0]).__name__
        if found != self.task.sample:
            other = next((f'a {task.name}' for task in TASKS if task.sample == found), f'another task ({found})')
            raise InputError(f'{self.session.path}: is a {self.task.name}, the config is of {other}')
        outputs = self.session(**self.task.feed(inputs, data_samples))
        for i, sample in enumerate(data_samples):
            self.task.write(sample, {name: torch.from_numpy(array[i, ...]) for name, array in outputs.items()})
        return data_samples
