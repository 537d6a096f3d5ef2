"""Static quantization to INT8 by ONNX Runtime, calibrated on images of the config's training set."""

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from mmengine.utils import track_iter_progress
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from ..engine.checkpoint import AtomicLocalBackend
from .tasks import Task


class Feeds(CalibrationDataReader):
    """Calibration data from an iterator of feeds, dicts of arrays by the names of inputs."""

    def __init__(self, feeds: Iterator[dict[str, np.ndarray]]):
        self.feeds = feeds

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.feeds, None)


class DatasetReader(Feeds):
    """Calibration data from evenly spaced images of the training set, loaded by the test pipeline.

    Args:
        cfg: Config with ``train_dataloader`` and ``test_dataloader``.
        count: Number of images.
        task: Task of the model.

    Attributes:
        classes: Class names of the training set; empty if it has none.
    """

    def __init__(self, cfg: Config, count: int, task: Task):
        init_default_scope(cfg.get('default_scope', 'mmengine'))
        dataset = DATASETS.build({**cfg.train_dataloader.dataset, 'pipeline': cfg.test_dataloader.dataset.pipeline})
        self.classes = dataset.metainfo.get('classes', ())
        chosen = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).astype(int).tolist()
        super().__init__(self._read(dataset, chosen, task))

    @staticmethod
    def _read(dataset, chosen: list[int], task: Task) -> Iterator[dict[str, np.ndarray]]:
        for i in track_iter_progress(chosen):
            data = dataset[i]
            yield task.feed([data['inputs']], [data['data_samples']])


def quantize(source: Path, target: Path, reader: CalibrationDataReader, keep: list[str]) -> None:
    """Quantize the convolutions of a model to INT8, weights per channel; other operations stay in float32.

    Args:
        source, target: ONNX files.
        reader: Calibration data.
        keep: Names of convolution nodes that stay in float32.
    """
    logging.getLogger().setLevel(logging.ERROR)  # ONNX Runtime recommends preprocessing, which is done here
    with tempfile.TemporaryDirectory() as folder:
        inferred = Path(folder) / 'inferred.onnx'
        quant_pre_process(source, inferred, skip_symbolic_shape=True)
        quantize_static(
            inferred,
            Path(folder) / 'quantized.onnx',
            reader,
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=['Conv'],
            nodes_to_exclude=keep,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        content = (Path(folder) / 'quantized.onnx').read_bytes()
    AtomicLocalBackend().put(content, target)
