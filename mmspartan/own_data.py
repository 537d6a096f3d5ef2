"""A config for a detection dataset of one's own, in which classes, files, size and length stand once.

The recipe is the base's with what a few hundred to ten thousand images need instead of COCO's 118,000: warm-up, decay
and averaging by share of the training, and a last part without strong augmentation, as RT-DETRv2 and D-FINE have. The
stages of DEIM, which make dense images of few, keep their shares of the training.
"""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from .configs import SCHEME, config_path, type_name

# Transforms that the last part of the training leaves out, alone, in a RandomApply or in each part of a RandomChoice.
STRONG = {'PhotoMetricDistortion', 'Expand', 'MinIoURandomCrop', 'Mosaic', 'MixUp', 'CachedMosaic', 'CachedMixUp'}
STRONG |= {'GridMosaic', 'CenteredRandomAffine'}
WARM_UP, FINAL, HORIZON = 0.05, 0.1, 0.02  # shares of the training
# Options of a SpaRTAN-XT or T with which all weights of one without options fit.
FITTING = {'type', 'arch', 'out_indices', 'frozen_stages', 'norm_eval', 'drop_path_rate', 'layer_scale_init_value'}
FITTING |= {'with_cp', 'channels_last'}
DETECTOR = 'rtdetr_spartan_xt_cifar10'  # the start of each config with its network
NOT_OF_THE_NETWORK = {'data_preprocessor', 'num_queries', 'dn_cfg', 'train_cfg', 'test_cfg', 'xavier_init', 'backbone'}


def own_data(
    base: Any,
    root: str,
    classes: Sequence[str],
    train: tuple[str, str],
    val: tuple[str, str],
    test: tuple[str, str] | None = None,
    image_size: tuple[int, int] | None = None,
    max_epochs: int | None = None,
    batch_size: int | None = None,
    weights: str | None = None,
) -> dict[str, Any]:
    """Return the entries of a config that train and evaluate a detector on other data than its base.

    Use it in a config that inherits from one of this package's detectors::

        _base_ = __import__('mmspartan').config_path('rtdetr_spartan_t_coco')
        locals().update(__import__('mmspartan').own_data(
            _base_, root='data/mine', classes=('cat', 'dog'), train=('train.json', 'train/'), val=('val.json', 'val/')))

    Args:
        base: The base config's content, ``_base_`` in a config.
        root: Folder of the annotation files.
        classes: Names of the classes in the order of the annotation files.
        train: COCO annotation file and folder of its images, as seen from ``root``.
        val: The same for the validation set.
        test: The same for the test set. Defaults to the validation set.
        image_size: Width and height of the network's input, multiples of 32. Defaults to the base's.
        max_epochs: Length of the training. Defaults to the base's.
        batch_size: Training images a batch and GPU. Defaults to the base's. The network of the package's detector has
            the base's learning rate with smaller batches, too.
        weights: Checkpoint of a detector to start from, also one of other classes. By default the network of
            ``rtdetr_spartan_xt_cifar10`` starts from its weights, which are part of the package: set
            ``load_from = None`` after these entries for another start. Other detectors with a SpaRTAN-XT or T without
            ``init_cfg`` start from the package's backbone. All others start as in the base. docs/own-data.md has what
            the starts bring.

    Returns:
        dict: Entries that override those of the base.

    Raises:
        ValueError: If ``root`` is empty, a class is there twice, or ``image_size`` is not made of multiples of 32.
    """
    if not root:
        folder = '"{{ fileDirname }}" for that of the config, "." for that of the command'
        raise ValueError(f'own_data: root must be the folder of the annotation files ({folder}), got {root!r}')
    classes = tuple(classes)
    if not classes or len(set(classes)) < len(classes):
        raise ValueError(f'own_data: classes must be different names, got {classes}')
    if image_size is not None and (len(image_size) != 2 or any(side <= 0 or side % 32 for side in image_size)):
        raise ValueError(f'own_data: image_size must be (width, height), multiples of 32, got {image_size}')
    max_epochs = max_epochs or base['train_cfg']['max_epochs']
    resize = Resizing(base, image_size)
    pipelines = {phase: resize.pipeline(base[f'{phase}_pipeline']) for phase in ('train', 'test')}
    model: dict[str, Any] = dict(bbox_head=dict(num_classes=len(classes)))
    entries: dict[str, Any] = {}
    if not base.get('load_from') and _has_fitting_backbone(base['model']):
        if _network(base['model']) == _network(Config.fromfile(config_path(DETECTOR)).model):
            weights = weights or f'{SCHEME}{DETECTOR}'
            loader = base['train_dataloader']
            # measured from the package's weights: 2 to 8 images a batch need the same rate
            whole = loader['batch_size']
            entries['auto_scale_lr'] = dict(base_batch_size=min(batch_size or whole, whole))
        elif not weights and 'init_cfg' not in base['model']['backbone']:
            checkpoint = f'{SCHEME}spartan_{base["model"]["backbone"]["arch"]}_cifar10'
            model['backbone'] = dict(init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'))
    augments = base['model']['data_preprocessor'].get('batch_augments')
    if augments and image_size:
        model['data_preprocessor'] = dict(batch_augments=resize.augments(augments))

    def dataset(files: tuple[str, str], phase: str) -> dict[str, Any]:
        path, images = files
        return dict(
            data_root=f'{root.rstrip("/")}/',
            metainfo=dict(classes=classes),
            ann_file=path,
            data_prefix=dict(img=images),
            pipeline=pipelines['train' if phase == 'train' else 'test'],
        )

    def evaluator(files: tuple[str, str]) -> dict[str, Any]:
        return dict(ann_file=(Path(root) / files[0]).as_posix())

    loaders = {
        'train_dataloader': dict(
            dataset=dataset(train, 'train'), **(dict(batch_size=batch_size) if batch_size else {})
        ),
        'val_dataloader': dict(dataset=dataset(val, 'val')),
        'test_dataloader': dict(dataset=dataset(test or val, 'test')),
    }
    # fixed for the demo's images, which have one size; by default lines and letters grow with the image
    drawn = {key: None for key in ('font_size', 'line_width') if key in (base.get('visualizer') or {})}
    # variables of the base that say the same, so that the logged config does not contradict itself
    repeated = {'data_root': f'{root.rstrip("/")}/', 'metainfo': dict(classes=classes), 'max_epochs': max_epochs}
    return dict(
        **{key: value for key, value in repeated.items() if key in base},
        model=model,
        **loaders,
        val_evaluator=evaluator(val),
        test_evaluator=evaluator(test or val),
        train_pipeline=pipelines['train'],
        test_pipeline=pipelines['test'],
        train_cfg=dict(max_epochs=max_epochs, val_interval=max(1, max_epochs // 20)),
        how_to_get_data=f'its annotation files are expected in {root}; images that were moved need a new config',
        **({'load_from': weights} if weights else {}),
        **entries,
        **({'visualizer': drawn} if drawn else {}),
        **recipe(base, max_epochs, pipelines['train'], resize),
    )


def recipe(base: Any, max_epochs: int, train_pipeline: list[dict], resize: 'Resizing') -> dict[str, Any]:
    """Return schedule, hooks and checkpoints of a training on a small dataset (measured in docs/own-data.md)."""
    warm_up = WARM_UP * max_epochs
    hooks: list[dict[str, Any]] = [
        dict(type='RunLengthEMAHook', horizon=HORIZON, priority=49),
        dict(type='NumClassCheckHook'),
    ]
    plain = [transform for transform in train_pipeline if not _is_strong(transform)]
    final = round(FINAL * max_epochs)
    multi_scale = base['model']['data_preprocessor'].get('batch_augments')
    staged = next((hook for hook in base.get('custom_hooks') or [] if _name(hook) == 'StageHook'), None)
    if staged:
        share, last = max_epochs / base['train_cfg']['max_epochs'], max_epochs - final
        begins = [min(round(epoch * share), last) for epoch in staged['switch_epochs'][:-1]]
        hooks.append(
            dict(type='StageHook', switch_epochs=[*begins, last], stages=[*map(resize.stage, staged['stages'])])
        )
    elif final and (multi_scale or len(plain) < len(train_pipeline)):
        kept = {'from_best': True} if any(hook.get('from_best') for hook in base.get('custom_hooks') or []) else {}
        hooks.append(dict(type='FinalStageHook', final_epochs=final, pipeline=plain, **kept))
    return dict(
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.01, begin=0, end=warm_up, convert_to_iter_based=True),
            dict(
                type='CosineAnnealingLR',
                eta_min_ratio=0.01,
                begin=warm_up,
                end=max_epochs,
                T_max=max_epochs - warm_up,
                convert_to_iter_based=True,
            ),
        ],
        custom_hooks=hooks,
        default_hooks=dict(checkpoint=dict(save_best='coco/bbox_mAP', rule='greater')),
    )


def _has_fitting_backbone(model: Any) -> bool:
    """Whether the package has weights of the backbone, and the config gives no others."""
    backbone = dict(model['backbone'])
    start = backbone.get('init_cfg')
    if isinstance(start, dict) and str(start.get('checkpoint')).startswith(SCHEME):
        del backbone['init_cfg']
    return _name(backbone) == 'SpaRTAN' and backbone.get('arch') in ('xt', 't') and backbone.keys() <= FITTING


def _network(model: Any) -> dict[str, Any]:
    """Return the entries of a detector with SpaRTAN that decide its weights, but for the number of classes."""
    entries = {key: value for key, value in model.items() if key not in NOT_OF_THE_NETWORK}
    head = model.get('bbox_head') or {}
    head = {key: value for key, value in head.items() if key != 'num_classes' and not key.startswith('loss_')}
    backbone = model['backbone']
    return dict(entries, bbox_head=head, arch=backbone['arch'], out_indices=tuple(backbone.get('out_indices', ())))


def _name(entry: Any) -> str:
    return type_name(entry['type'])


def _is_strong(transform: dict) -> bool:
    inner = transform.get('transforms') or []
    return _name(transform) in STRONG or bool(inner and all(map(_has_strong, inner)))


def _has_strong(part: Any) -> bool:
    """Whether a transform is strong, or one of those that a RandomChoice applies together."""
    return any(map(_is_strong, part)) if isinstance(part, list | tuple) else _is_strong(part)


class Resizing:
    """What a config trains and evaluates with, made for another width and height of the input; None changes nothing."""

    def __init__(self, base: Any, image_size: tuple[int, int] | None):
        steps = base['test_pipeline'] if image_size else []
        self.before = next((tuple(step['scale']) for step in steps if _name(step) == 'Resize'), (1, 1))
        self.size = image_size and tuple(image_size)

    def pipeline(self, steps: Any) -> Any:
        """Return steps whose ``Resize`` has the new size; one of another size that keeps the aspect is scaled."""
        if isinstance(steps, list | tuple):
            return [self.pipeline(step) for step in steps]
        step = copy.deepcopy(dict(steps))
        for key in ('transforms', 'loading'):
            if key in step:
                step[key] = self.pipeline(step[key])
        if _name(step) == 'Resize' and self.size:
            step['scale'] = self.size
            if step.get('keep_ratio') and tuple(steps['scale']) != self.before:
                ratio = min(self.size) / min(self.before)
                step['scale'] = tuple(round(side * ratio) for side in steps['scale'])
        return step

    def augments(self, augments: Any) -> list[dict]:
        """Return multi-scale augmentations with heights in the same relation to the input, multiples of 32."""
        ratio = self.size[1] / self.before[1] if self.size else 1
        return [
            {**augment, 'sizes': [max(1, round(size * ratio / 32)) * 32 for size in augment['sizes']]}
            if 'sizes' in augment
            else dict(augment)
            for augment in augments
        ]

    def stage(self, stage: Any) -> dict[str, Any]:
        """Return a stage of a ``StageHook`` for the new size."""
        resized = {**stage, 'pipeline': self.pipeline(stage['pipeline'])}
        if stage.get('batch_augments'):
            resized['batch_augments'] = self.augments(stage['batch_augments'])
        return resized
