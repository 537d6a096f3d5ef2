"""A training in stages, each with its own augmentation, as DEIM trains (Huang et al., CVPR 2025, arXiv 2412.04234).

The authors' code has the epochs in its dataset and data loader. A step of its last stage is left out: after each epoch
that is no better than the best checkpoint before this stage, it returns to that checkpoint and lowers the decay of the
averaged weights by 0.0001.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmcv.transforms import Compose
from mmdet.datasets import MultiImageMixDataset
from mmdet.engine.hooks import PipelineSwitchHook
from mmengine.registry import HOOKS, MODELS, TASK_UTILS
from mmengine.runner import EpochBasedTrainLoop
from torch import nn

from ...checkpoints.checkpoint import without_wrappers
from ...checks import is_integer, refuse
from ...errors import InputError
from .best_weights import load_best

OPTIONAL = {'batch_augments', 'from_best', 'match_costs', 'multi_scale'}


@HOOKS.register_module()
class StageHook(PipelineSwitchHook):
    """Trains stages of epochs with other pipelines and batch augmentations.

    The stage is a function of the epoch alone, and of the evaluations before it with ``from_best``: a resumed training
    continues as the interrupted one would have.

    Args:
        switch_epochs (Sequence[int]): The epochs, counted from 0, in which the stages begin, in ascending order. Of
            stages that begin in the same epoch the last one runs. Before the first stage nothing is changed.
        stages (Sequence[dict]): For each stage its training ``pipeline``; optional ``batch_augments``, configs of
            augmentations that the data preprocessor applies first in this stage; ``multi_scale``, whether it then
            applies those of its own config, True by default; ``match_costs``, configs of the terms of the assigner's
            cost in this stage, as DEIMv2 has in its last epochs, by default those of the model's config; and
            ``from_best``, whether the stage begins with the weights of the best checkpoint so far, False by default.

    Raises:
        ValueError: If ``switch_epochs`` are no ascending epochs, or not as many as ``stages``, or a stage has no
            pipeline or another key.
    """

    def __init__(self, switch_epochs: Sequence[int], stages: Sequence[Mapping[str, Any]]):
        owner = type(self).__name__
        for i, stage in enumerate(stages):
            if not isinstance(stage, Mapping) or stage.keys() - OPTIONAL != {'pipeline'}:
                refuse(owner, f'stages[{i}]', f'a dict with pipeline, and optional {sorted(OPTIONAL)}', stage)
        super().__init__(switch_epoch=0, switch_pipeline=None)
        self.stages = stages
        self.switch_epochs = switch_epochs
        allowed = f'{len(stages)} ascending epochs, one for each of the stages'
        epochs = list(switch_epochs) if isinstance(switch_epochs, Sequence) else []
        is_valid = len(epochs) == len(stages) > 0 and all(is_integer(epoch, 0) for epoch in epochs)
        if not is_valid or epochs != sorted(epochs):
            refuse(owner, 'switch_epochs', allowed, switch_epochs)
        self._stage = -1
        self._datasets: list[Any] | None = None
        self._own_augments, self._has_own = None, False  # of the preprocessor's config, read in the first stage
        self._own_costs: list[Any] | None = None  # of the assigner's config, read before they are replaced

    def begins(self, max_epochs: int) -> list[int]:
        """Return the epochs of a training in which its stages begin."""
        return sorted({epoch for epoch in self.switch_epochs if epoch < max_epochs})

    def before_train(self, runner: Any) -> None:
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise InputError(f'{type(self).__name__}: trains in epochs, the train_cfg of this config has iterations')
        dataset = runner.train_dataloader.dataset
        if not list(with_pipelines(dataset)):
            raise InputError(f'{type(self).__name__}: the training set {type(dataset).__name__} has no pipeline')

    def before_train_epoch(self, runner: Any) -> None:
        stage = bisect_right(self.switch_epochs, runner.epoch) - 1
        if stage != self._stage:
            self._stage, self._has_switched = stage, False
            self.switch_pipeline = self.stages[stage]['pipeline']
            model = without_wrappers(runner.model)
            self._set_augments(model.data_preprocessor, self.stages[stage])
            self._set_costs(model, self.stages[stage])
            begins = stage >= 0 and runner.epoch == self.switch_epochs[stage]
            if begins and self.stages[stage].get('from_best') and is_at_start(runner):
                load_best(runner)
        if stage >= 0:
            if self._datasets is None:  # before mmdet's hook gives a wrapper a pipeline, which it ignores
                self._datasets = list(with_pipelines(runner.train_dataloader.dataset))
            if not self._has_switched:
                for dataset in self._datasets:
                    dataset.pipeline = Compose(self.switch_pipeline)
            super().before_train_epoch(runner)

    def _set_augments(self, preprocessor: Any, stage: Mapping[str, Any]) -> None:
        if not self._has_own:
            self._has_own, self._own_augments = True, getattr(preprocessor, 'batch_augments', None)
        augments = self._own_augments if stage.get('multi_scale', True) else None
        if stage.get('batch_augments'):
            augments = nn.ModuleList([*map(MODELS.build, stage['batch_augments']), *(augments or ())])
        preprocessor.batch_augments = augments

    def _set_costs(self, model: Any, stage: Mapping[str, Any]) -> None:
        costs = stage.get('match_costs')
        if costs or self._own_costs is not None:
            assigner = model.bbox_head.assigner
            self._own_costs = self._own_costs or assigner.match_costs
            assigner.match_costs = [*map(TASK_UTILS.build, costs)] if costs else self._own_costs


def is_at_start(runner: Any) -> bool:
    """Whether no iteration of this epoch is done, of which a resumed training may have done some."""
    return not getattr(runner.train_loop, '_done', 0)


def with_pipelines(dataset: Any) -> Iterator[Any]:
    """Iterate over a training set, or over the datasets within wrappers such as mmengine's ``ConcatDataset``.

    Raises InputError for mmdet's ``MultiImageMixDataset``, whose pipeline has a state of its own.
    """
    if isinstance(dataset, MultiImageMixDataset):
        raise InputError('MultiImageMixDataset: its pipeline cannot change in stages; MosaicCocoDataset mixes images')
    if hasattr(dataset, 'pipeline'):
        yield dataset
    else:
        for inner in getattr(dataset, 'datasets', None) or filter(None, [getattr(dataset, 'dataset', None)]):
            yield from with_pipelines(inner)
