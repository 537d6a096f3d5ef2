"""Grad-CAM (Selvaraju et al., arXiv 1610.02391) by pytorch-grad-cam, for classifiers and detectors (Fig. 5 and 6).

A map is the sum of a layer's features, weighted by the mean gradient of a score with respect to them, and zero where
that is negative. The score of a classifier is the logit of a class. That of a detector is the sum of the scores of its
detections.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import InputError
from ..visualization.boxes import strongest_boxes
from .subject import Example, Subject


@dataclass(frozen=True)
class Cam:
    """A map over the input of a model.

    Attributes:
        values: In [0, 1], ``(h, w)`` as ``Example.image``.
        title: What the map is of.
        boxes: Detections whose scores were added, ``(K, 4)`` in pixels of the image.
    """

    values: np.ndarray
    title: str
    boxes: np.ndarray


class _OfInputs(nn.Module):
    """A model as a function of its normalized input, with one output for each image: logits, or detections."""

    def __init__(self, subject: Subject, samples: list[Any]):
        super().__init__()
        self.model = subject.model
        self.mode = 'predict' if subject.is_detector else 'tensor'
        self.samples = samples

    def forward(self, inputs: Tensor) -> Any:
        return self.model(inputs, deepcopy(self.samples), mode=self.mode)  # mmdet writes into the samples


def grad_cam(
    subject: Subject,
    example: Example,
    layers: Sequence[nn.Module],
    category: int | None = None,
    score_thr: float = 0.3,
) -> Cam:
    """Compute the mean of the maps of some layers.

    Args:
        layers: Modules of the model whose outputs are feature maps, in the order in which they run.
        category: A class. By default that of the highest logit, or of a detector all classes.
        score_thr: Lowest score of a detection that counts.

    Raises:
        InputError: If pytorch-grad-cam is not installed.
    """
    try:
        from pytorch_grad_cam import GradCAM
    except ImportError as error:
        raise InputError(f'Grad-CAM needs pytorch-grad-cam ({error}): pip install --no-deps grad-cam ttach') from None
    score = _Detections(subject, category, score_thr) if subject.is_detector else _Logit(subject, category)
    method = GradCAM(_OfInputs(subject, example.samples), list(layers))
    try:
        values = method(example.inputs, [score])[0]
    finally:
        method.activations_and_grads.release()
    height, width = example.image.shape[:2]
    return Cam(values[:height, :width], score.title, score.boxes)


class _Logit:
    boxes = np.zeros((0, 4))

    def __init__(self, subject: Subject, category: int | None):
        self.subject, self.category = subject, category
        self.title = ''

    def __call__(self, logits: Tensor) -> Tensor:
        category = int(logits.argmax()) if self.category is None else self.category
        self.title = f'{self.subject.label(category)}: {float(logits.softmax(0)[category].detach()):.0%}'
        return logits[category]


class _Detections:
    def __init__(self, subject: Subject, category: int | None, score_thr: float):
        self.subject, self.category, self.score_thr = subject, category, score_thr
        self.title, self.boxes = '', np.zeros((0, 4))

    def __call__(self, sample: Any) -> Tensor:
        found = sample.pred_instances
        found = found[found.scores >= self.score_thr]
        strongest = strongest_boxes(found.bboxes.detach().cpu(), found.scores.detach().cpu())
        found = found[torch.tensor(sorted(strongest), dtype=torch.long, device=found.scores.device)]
        if self.category is not None:
            found = found[found.labels == self.category]
        self.boxes = found.bboxes.detach().cpu().numpy()
        of = '' if self.category is None else f' of {self.subject.label(self.category)}'
        self.title = f'{len(self.boxes)} detection{"s" * (len(self.boxes) != 1)}{of}'
        return found.scores.sum()


def draw_sheet(subjects: Sequence[Subject], examples: Sequence[Example], cams: Sequence[Sequence[Cam]], path: Path):
    """Draw maps over one image, as each model reads it: a column for each model, a row for each of ``cams``."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    figure = Figure(figsize=(3 * (1 + len(subjects)), 0.2 + 3.2 * len(cams)), layout='constrained')
    panels = figure.subplots(len(cams), 1 + len(subjects), squeeze=False)
    for row, maps in zip(panels, cams):
        row[0].imshow(examples[0].original)
        row[0].set_title(Path(examples[0].path).name, fontsize=9)
        for panel, subject, example, cam in zip(row[1:], subjects, examples, maps):
            # a detector sees the whole image, perhaps with another ratio of the sides; a classifier may see a crop
            height, width = (example.original if subject.is_detector else example.image).shape[:2]
            extent = (-0.5, width - 0.5, height - 0.5, -0.5)
            panel.imshow(example.image, extent=extent)
            panel.imshow(cam.values, cmap='jet', vmin=0, vmax=1, alpha=0.5, extent=extent)
            for left, top, right, bottom in cam.boxes:
                panel.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, color='white'))
            panel.set_title(f'{subject.name}\n{cam.title}', fontsize=9)
    for panel in panels.flat:
        panel.set_axis_off()
    figure.savefig(path, dpi=100)
