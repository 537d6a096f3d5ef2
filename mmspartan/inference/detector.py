"""One call for one image: boxes, scores and class names, and the image with them drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from threading import Lock
from typing import Any

import matplotlib
import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.visualization import DetLocalVisualizer
from mmengine.structures import InstanceData

from ..checks import is_integer
from ..configs import config_path
from ..datasets.image_files import write_image
from ..errors import InputError
from ..visualization.boxes import strongest_boxes
from .inferencer import CheckedDetInferencer
from .slicing import SlicingDetInferencer

WITHOUT_WINDOWS = ('agg', 'cairo', 'pdf', 'pgf', 'ps', 'svg', 'template')  # matplotlib's backends that write files
SCORE_THR = 0.3
DRAWING = Lock()  # threads may share a visualizer, which holds one image


@dataclass(frozen=True, repr=False)
class Detections:
    """Objects in an image, the one with the highest score first.

    Attributes:
        boxes: (x1, y1, x2, y2) in pixels of the image, ``(N, 4)``, float32.
        scores: ``(N,)`` in [0, 1].
        labels: Indices of the classes, ``(N,)``.
        names: Names of the classes.
        image: BGR image ``(H, W, 3)``, uint8.
        every: The detector's output: every class of every box, whatever its score, as ``tools/image_demo.py`` writes
            it. Its ``drawn`` says which of them are in ``boxes``.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    names: list[str]
    image: np.ndarray
    every: dict[str, Any]
    _visualizer: DetLocalVisualizer

    def __repr__(self) -> str:
        found = zip(self.names, self.scores, self.boxes.round().astype(int).tolist())
        return f'Detections({", ".join(f"{name} {score:.2f} {box}" for name, score, box in found)})'

    def __len__(self) -> int:
        return len(self.boxes)

    def drawn(self) -> np.ndarray:
        """Return the image with boxes and labels, BGR ``(H, W, 3)``; a small image is enlarged."""
        sample = DetDataSample()
        sample.pred_instances = InstanceData(
            bboxes=torch.from_numpy(self.boxes),
            scores=torch.from_numpy(self.scores),
            labels=torch.from_numpy(self.labels),
        )
        image = self.image[..., ::-1]
        with DRAWING:
            self._visualizer.add_datasample('image', image, sample, draw_gt=False, pred_score_thr=-1)
            return self._visualizer.get_image()[..., ::-1]

    def save(self, path: str | Path) -> None:
        """Write the image with boxes and labels.

        Raises:
            InputError: If the file cannot be written.
        """
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_image(path, self.drawn())

    def show(self) -> None:
        """Show the image with boxes and labels in a window.

        Raises:
            InputError: If matplotlib opens no windows here, as without a display.
        """
        backend = matplotlib.get_backend().lower()
        if backend in WITHOUT_WINDOWS or 'inline' in backend:
            raise InputError(
                f'matplotlib ({backend}) opens no windows here: save() writes the image, drawn() returns it'
            )
        self._visualizer.show(self.drawn()[..., ::-1])


class Detector:
    """A detector for images, by mmdet's ``DetInferencer``::

        found = mmspartan.Detector('configs/rtdetr_spartan_t_coco.py', 'CHECKPOINT')('street.jpg')
        for name, score, box in zip(found.names, found.scores, found.boxes): ...
        found.save('drawn.jpg')

    RT-DETR gives an object several boxes and classes. Of boxes with an IoU of 0.7 or more, whatever their classes, the
    one with the highest score is kept.

    Args:
        config: Config file, or name of a config of this package.
        weights: Checkpoint, or file of ``tools/export_onnx.py``.
        device: ``cuda:0``, ``cpu``, ...; by default a GPU, if there is one.
        score_thr: Lowest score of an object, in [0, 1], or of those of each class by its name; that of '' holds for
            others, 0.3 by default. ``tools/evaluate.py`` prints the best ones.
        slice_size: Width and height in pixels of parts in which small objects are found as well.
        overlap: Overlap of neighbouring parts relative to their size, in [0, 1).
        bits: Of a value of 16-bit images, 8 to 16, as ``prepare_dataset.py --bits`` has it.

    Raises:
        InputError: If a file is missing or the weights do not fit the config.
    """

    def __init__(
        self,
        config: str | Path,
        weights: str | Path,
        device: str | None = None,
        score_thr: float | Mapping[str, float] = SCORE_THR,
        slice_size: int | None = None,
        overlap: float = 0.2,
        bits: int | None = None,
    ):
        if not Path(config).is_file():
            try:
                config = config_path(str(config))
            except FileNotFoundError as error:
                raise InputError(f'{config}: no such config file; {error}') from error
        thresholds = by_class(score_thr)
        for name, value in thresholds.items():
            if not isinstance(value, Real) or not 0 <= value <= 1:
                raise InputError(f'score_thr{f" of {name}" if name else ""} is {value!r}, must be a number from 0 to 1')
        if bits is not None and not is_integer(bits, 8, 16):
            raise InputError(f'bits is {bits!r}, must be a whole number from 8 to 16')
        slicing = {} if slice_size is None else dict(slice_size=slice_size, overlap=overlap)
        kind: Any = SlicingDetInferencer if slicing else CheckedDetInferencer
        self.inferencer = kind(str(config), str(weights), device=device, show_progress=False, **slicing)
        self.inferencer.bits = bits
        self.score_thr = score_thr
        classes = self.inferencer.model.dataset_meta['classes']
        unknown = [name for name in thresholds if name not in ('', *classes)]
        if unknown:
            raise InputError(
                f'score_thr: no class is called {", ".join(map(str, unknown))}; there are {", ".join(classes)}'
            )

    def __call__(self, image: str | Path | np.ndarray) -> Detections:
        """Detect in an image file or a BGR array ``(H, W, 3)``, uint8."""
        return self.detect([image])[0]

    def detect(self, images: Sequence[str | Path | np.ndarray], batch_size: int = 1) -> list[Detections]:
        """Detect in several images; with ``slice_size``, ``batch_size`` counts parts.

        Raises:
            InputError: If an image cannot be read.
        """
        arrays = [self.inferencer.read(image) for image in images]
        found = self.inferencer(arrays, batch_size=batch_size, return_datasamples=True)['predictions']
        return [self._detections(image, sample) for image, sample in zip(arrays, found, strict=True)]

    def _detections(self, image: np.ndarray, sample: DetDataSample) -> Detections:
        found = sample.pred_instances.cpu()
        classes = self.inferencer.model.dataset_meta['classes']
        chosen = {'': SCORE_THR, **by_class(self.score_thr)}
        lowest = torch.tensor([chosen.get(name, chosen['']) for name in classes])
        above = (found.scores >= lowest[found.labels]).nonzero()[:, 0]
        kept = above[torch.tensor(strongest_boxes(found.bboxes[above], found.scores[above]), dtype=torch.long)]
        every = {
            **self.inferencer.pred2dict(sample),
            'drawn': torch.zeros(len(found)).bool().index_fill(0, kept, True).tolist(),
        }
        found = found[kept]
        return Detections(
            boxes=found.bboxes.numpy().astype(np.float32),
            scores=found.scores.numpy(),
            labels=found.labels.numpy(),
            names=[classes[label] for label in found.labels.tolist()],
            image=image,
            every=every,
            _visualizer=self.inferencer.visualizer,
        )


def by_class(score_thr: float | Mapping[str, float]) -> Mapping[str, float]:
    """Return lowest scores by the names of classes, '' for all others."""
    return score_thr if isinstance(score_thr, Mapping) else {'': score_thr}
