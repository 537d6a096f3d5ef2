"""Models by name and the forms in which they run.

A name is a config file, ``PACKAGE::FILE`` for a config of an installed OpenMMLab package, ``reference-t`` or
``reference-xt`` for the plain SpaRTAN with complex tensors, or ``timm/NAME``.
"""

import math
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from ..deploy import fold_in_place
from ..deploy.onnx import to_onnx
from ..deploy.precision import PRECISIONS
from ..deploy.quantization import Feeds, quantize
from ..deploy.session import Session
from ..errors import InputError
from ..runs.regional_compile import compile_regions
from ..spartan import ARCHS
from ..spartan.reference import ReferenceSpaRTAN

TRAINED = ('eager', 'cl', 'regions', 'compile', 'with_cp')
DEPLOYED = ('deploy', 'deploy+compile', 'deploy+graph')
EXPORTED = ('onnxruntime', 'openvino', 'int8')
FORMS = (*TRAINED, *DEPLOYED, *EXPORTED)
OBJECTS = 7  # in each training image, COCO's mean
CLASSES = 10  # of the labels of training images; fewer than any model has


class Tensors(nn.Module):
    """A model of the registry that maps images to tensors, without data samples."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        model: Any = self.model
        out = model(x, mode='tensor')
        return torch.cat([part.flatten() for part in out]) if hasattr(model, 'forward_transformer') else out


class Loss(nn.Module):
    """The loss of a model on images with a random ground truth: all losses of a detector, with their matching."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        model: Any = self.model
        if not isinstance(model, Tensors):
            labels = torch.arange(len(x), device=x.device) % CLASSES
            return cross_entropy(model(x).float(), labels)
        model = model.model
        return model.parse_losses(model(x, ground_truth(model, x), mode='loss'))[0]


def ground_truth(model: Any, x: Tensor) -> list:
    """Return data samples with seven objects each for a detector, with a label each for a classifier."""
    generator = torch.Generator().manual_seed(0)
    size = tuple(x.shape[2:])
    if not hasattr(model, 'bbox_head'):
        from mmpretrain.structures import DataSample

        labels = torch.arange(len(x), device=x.device) % CLASSES
        if getattr(model.data_preprocessor, 'batch_augments', None) is None:
            return [DataSample().set_gt_label(label) for label in labels]
        scores = one_hot(labels, model.head.num_classes).float()  # what Mixup and CutMix make of labels
        return [DataSample().set_gt_score(score) for score in scores]
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    samples = []
    for _ in range(len(x)):
        meta = dict(img_shape=size, ori_shape=size, pad_shape=size, batch_input_shape=size, scale_factor=(1.0, 1.0))
        sample = DetDataSample(metainfo=meta)
        corners, extents = torch.rand(2, OBJECTS, 2, generator=generator)
        boxes = torch.cat([corners * 0.5, corners * 0.5 + 0.05 + extents * 0.4], 1) * torch.tensor([*size[::-1]] * 2)
        labels = torch.randint(CLASSES, (OBJECTS,), generator=generator)
        sample.gt_instances = InstanceData(bboxes=boxes.to(x.device), labels=labels.to(x.device))
        samples.append(sample)
    return samples


def config_of(what: str) -> Config:
    """Read a config by its path, or one of an installed OpenMMLab package.

    Raises:
        InputError: If there is no such file.
    """
    if '::' in what and not what.startswith('mmspartan::'):
        return get_config(what)
    if not Path(what).is_file():
        raise InputError(f'{what}: no config file, and neither PACKAGE::FILE, reference-*, timm/* nor peers')
    return Config.fromfile(what)


def check(what: str, form: str, device: str) -> None:
    """Check that there is such a model, and such a form on this device.

    Raises:
        InputError: If there is not.
    """
    if form not in FORMS:
        raise InputError(f'{what}@{form}: forms are {", ".join(FORMS)}')
    if form in EXPORTED and device != 'cpu':
        raise InputError(f'{what}@{form}: runs on the CPU; with --device cpu the others do so, too')
    if what.startswith('reference-'):
        if what.removeprefix('reference-') not in ARCHS:
            raise InputError(f'{what}: there are {", ".join(f"reference-{name}" for name in ARCHS)}')
    elif what.startswith('timm/'):
        import timm

        if not timm.is_model(what.removeprefix('timm/')):
            raise InputError(f'{what}: timm {timm.__version__} has no such model')
    else:
        config_of(what)


def build(what: str, form: str = 'eager', options: Mapping[str, Any] | None = None) -> nn.Module:
    """Build a model that maps images to tensors; :func:`check` tells whether there is one of this name.

    ``options`` override settings of a config, by dotted names.
    """
    if what.startswith('reference-'):
        settings: dict[str, Any] = dict(ARCHS[what.removeprefix('reference-')])
        return ReferenceSpaRTAN(**settings)
    if what.startswith('timm/'):
        import timm

        return timm.create_model(what.removeprefix('timm/'))
    cfg = config_of(what)
    cfg.merge_from_dict(options or {})
    init_default_scope(cfg.get('default_scope') or 'mmengine')
    if form == 'with_cp':
        cfg.model.backbone.with_cp = True
    return Tensors(MODELS.build(cfg.model))


def autocast(x: Tensor, dtype: torch.dtype) -> AbstractContextManager:
    if dtype == torch.float32:  # torch 2.1 refuses it on a CPU even if autocast is not enabled
        return nullcontext()
    return torch.autocast(x.device.type, dtype)


def runner(
    what: str, form: str, x: Tensor, train: bool, dtype: torch.dtype, options: Mapping[str, Any] | None = None
) -> tuple[nn.Module, Callable[[], object]]:
    """Build a model, and return it and a function that runs it once.

    Args:
        what: Its name.
        form: One of ``FORMS``.
        x: Images, float32 ``(B, 3, H, W)``.
        train: Whether a run is a forward and a backward pass instead of an inference.
        dtype: Precision of weights and images; in training that of autocast, and in OpenVINO that of operations.
        options: Settings that override a config.

    Returns:
        tuple: The model, with ``train`` as :class:`Loss`, and the function.

    Raises:
        InputError: If it does not run in this form here.
    """
    torch.manual_seed(0)
    model = build(what, form, options).to(x.device).train(train)
    if form in ('cl', 'with_cp', *DEPLOYED):
        x = x.contiguous(memory_format=torch.channels_last)
        model = model.to(memory_format=torch.channels_last)
    if train:
        return _training(what, form, model, x, dtype)
    if form in (*DEPLOYED, *EXPORTED):
        if what.startswith('timm/'):
            from timm.utils.model import reparameterize_model

            model = reparameterize_model(model)
        else:
            fold_in_place(model)
        model.to(memory_format=torch.channels_last if form in DEPLOYED else torch.contiguous_format)
    if form in EXPORTED:
        return model, _exported(what, form, model, x, dtype)
    run, x = _compiled(model.to(dtype), form), x.to(dtype)

    def infer() -> Tensor:
        with torch.inference_mode():
            return run(x)

    return model, infer


def _compiled(model: nn.Module, form: str) -> Any:
    if form.endswith('compile'):
        return torch.compile(model)
    return torch.compile(model, mode='reduce-overhead') if form.endswith('graph') else model


def _training(
    what: str, form: str, model: nn.Module, x: Tensor, dtype: torch.dtype
) -> tuple[nn.Module, Callable[[], object]]:
    if form not in TRAINED:
        raise InputError(f'{what}@{form}: this form does not train')
    if form == 'regions':
        compile_regions(model)
    elif form == 'compile':
        (model.model if isinstance(model, Tensors) else model).compile()  # in place
    loss = Loss(model)

    def step() -> None:
        loss.zero_grad()
        with autocast(x, dtype):
            value = loss(x)
        value.backward()

    return loss, step


def _exported(what: str, form: str, model: nn.Module, x: Tensor, dtype: torch.dtype) -> Callable[[], object]:
    backend = 'onnxruntime' if form == 'onnxruntime' else 'openvino'
    precision = {torch.float32: 'f32', torch.bfloat16: 'bf16'}.get(dtype)
    if precision is None or backend not in PRECISIONS[precision].runtimes:
        raise InputError(f'{what}@{form}: runs in float32' + (' or bfloat16' if backend == 'openvino' else ''))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'model.onnx'
        streams = math.gcd(len(x), torch.get_num_threads()) if backend == 'openvino' else 1
        example = x[: len(x) // streams]
        to_onnx(model, (example,), input_names=['images']).save(path)
        if form == 'int8':
            quantize(path, path, Feeds(iter([dict(images=example.numpy())])))
        session = Session(path, backend, torch.get_num_threads(), streams, precision)
    images = x.numpy()
    return lambda: session(images=images)
