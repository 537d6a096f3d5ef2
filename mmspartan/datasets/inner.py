"""The datasets of a config's loaders within wrappers, such as mmengine's ``ConcatDataset``."""

from collections.abc import Iterator
from typing import Any

from mmengine.config import Config


def inner_datasets(cfg: Any, name: str) -> Iterator[tuple[str, dict]]:
    """Iterate over the datasets in a loader's config, without their wrappers, and their names in it."""
    wrapped = cfg.get('datasets') if isinstance(cfg, dict) else None
    if isinstance(cfg, dict) and 'dataset' in cfg:
        yield from inner_datasets(cfg['dataset'], f'{name}.dataset')
    elif isinstance(wrapped, list | tuple):
        for i, dataset in enumerate(wrapped):
            yield from inner_datasets(dataset, f'{name}.datasets[{i}]')
    elif isinstance(cfg, dict):
        yield name, cfg


def first_test_dataset(cfg: Config) -> dict:
    """Return the config of the test set, the first within a wrapper; empty if there is none."""
    return next((dataset for _, dataset in inner_datasets(cfg.get('test_dataloader'), '')), {})
