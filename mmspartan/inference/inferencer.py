"""mmdet's ``DetInferencer`` for checkpoints and exported files, with checks of weights, classes and images."""

import io
import logging
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.apis import DetInferencer
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.fileio import list_from_file
from mmengine.logging import print_log
from PIL import Image
from torch import nn

from ..checkpoints.checkpoint import check_weights_fit, read_checkpoint
from ..checkpoints.class_names import check_class_names, classes_of
from ..datasets.image_files import DARK, MAX_PIXELS, decode_deep_image, decode_image, read_image, value_bits
from ..datasets.inner import first_test_dataset
from ..errors import InputError
from ..runs.cuda_graphs import use_cuda_graphs


class CheckedDetInferencer(DetInferencer):
    """mmdet's inferencer with checks of weights and classes, and without code execution from checkpoints.

    Takes the same arguments. ``weights`` may also be a file of ``tools/export_onnx.py``, whose name ends with ``.onnx``
    and which runs on the CPU. Predictions have the names of the classes under ``names``, in the order of their
    ``labels``.

    Attributes:
        max_pixels (int): Largest number of pixels of an image.
        bits (int, optional): Of a value of 16-bit images; without it, dark ones are warned of.

    Raises:
        InputError: If the weights do not fit the model, or have other classes than the test set of the config.
    """

    max_pixels = MAX_PIXELS
    bits: int | None = None

    def _init_model(self, cfg: Config, weights: str, device: str = 'cpu') -> nn.Module:
        self.source = weights
        if cfg.get('default_scope') == 'mmpretrain':
            raise InputError(
                f'{cfg.filename}: a classifier, for which there is mmpretrain.ImageClassificationInferencer'
            )
        cfg.test_dataloader.dataset = first_test_dataset(cfg)
        if Path(weights).suffix == '.onnx':
            from ..deploy.exported_model import ExportedModel  # onnx is needed for exported files only

            cfg.model = dict(type=ExportedModel, path=weights)
            self.checkpoint: dict[str, Any] = {}
            device = 'cpu'
        else:
            self.checkpoint = read_checkpoint(weights)
        model = super()._init_model(cfg, None, device)
        use_cuda_graphs(model, cfg)
        return model

    def _load_weights_to_model(self, model: nn.Module, checkpoint: dict | None, cfg: Config) -> None:
        listed = (cfg.test_dataloader.dataset.get('metainfo') or {}).get('classes') or ()
        listed = list_from_file(listed) if isinstance(listed, str) else list(listed)
        if not self.checkpoint:
            from ..deploy.evaluation import check_classes, classes_of_exported

            check_classes(self.source, listed)
            names = classes_of_exported(self.source)
            count = len(names or listed)
            self.checkpoint = dict(state_dict={})
        else:
            check_weights_fit(model, self.checkpoint, self.source)
            names = classes_of(self.checkpoint)
            check_class_names(names, self.source, listed, "the config's test set", same_number=True)
            count = getattr(model.bbox_head, 'num_classes', len(names))
            check_class_names(names, self.source, [''] * count, 'the model', same_number=True)
        if not names:  # mmdet would use COCO's names
            names = listed if len(listed) == count else [str(i) for i in range(count)]
        meta = dict(self.checkpoint.get('meta') or {}, dataset_meta=dict(classes=tuple(names)))
        super()._load_weights_to_model(model, dict(self.checkpoint, meta=meta), cfg)

    def _init_collate(self, cfg: Config) -> Any:
        if cfg.test_dataloader.get('collate_fn'):
            return super()._init_collate(cfg)
        return pseudo_collate  # mmengine's default, without its warning that mmdet has no registry of functions

    def _init_visualizer(self, cfg: Config) -> Any:
        cfg.visualizer.vis_backends = None  # of a training; without a folder each of them warns
        return super()._init_visualizer(cfg)

    def read(self, source: str | Path | np.ndarray) -> np.ndarray:
        """Return the BGR image ``(H, W, 3)`` of a file or array.

        Raises:
            InputError: If the file cannot be read. The message names it.
        """
        if isinstance(source, np.ndarray) and source.dtype == np.uint8:
            return source
        if not isinstance(source, str | Path):
            kind = f'an array of {source.dtype}' if isinstance(source, np.ndarray) else f'a {type(source).__name__}'
            raise InputError(f'the image is {kind}, must be a path, or a BGR array (H, W, 3) of uint8')
        content = read_image(source, self.max_pixels)
        with Image.open(io.BytesIO(content)) as header:
            bits = value_bits(header, content, source)
        if self.bits and 0 < bits <= self.bits:
            return decode_deep_image(content, self.bits)
        if self.bits and bits:
            print_log(f'{source}: has values from {2**self.bits} on: read as it is', 'current', logging.WARNING)
        image = decode_image(content, source)
        if 0 < bits <= DARK:
            reason = (
                f'16-bit values below {2**bits} are loaded as nearly black; give the bits of a value (--bits, bits)'
            )
            print_log(f'{source}: {reason}', 'current', logging.WARNING)
        return image

    def pred2dict(self, data_sample: DetDataSample, pred_out_dir: str = '') -> dict[str, Any]:
        result = super().pred2dict(data_sample, pred_out_dir)
        classes = self.model.dataset_meta['classes']
        return {**result, 'names': [classes[label] for label in result['labels']]}
