"""Compare the throughput of the data loader and of the training step: ``benchmark_dataloader.py CONFIG``.

Measures each transform of the training pipeline in one process, the data loader with the config's workers, and the
training step on this machine's device, and prints how many workers the training step needs.
"""

import argparse
import copy
import logging
import math
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from itertools import cycle, islice, repeat
from pathlib import Path

from mmspartan_cli import build_parser, parse


def parse_args():
    parser = build_parser(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument('--amp', action='store_true', help='run the training step in automatic mixed precision')
    parser.add_argument('--photos', action='store_true', help="use two photographs instead of the config's data")
    parser.add_argument('--images', type=int, default=100, help='number of images to time the transforms')
    parser.add_argument('--batches', type=int, default=10, help='number of batches, and of training steps')
    return parse(parser)


if __name__ == '__main__':
    args = parse_args()  # before the imports that take seconds

import cv2
import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS

from mmspartan.benchmark.timing import timed
from mmspartan.commands.command import command
from mmspartan.commands.launch import build_runner, load_config
from mmspartan.errors import InputError


@DATASETS.register_module()
class SamplePhotos(BaseDataset):
    """The two photographs (640 x 427) that ship with scikit-learn, repeated to ``length``, each with seven boxes."""

    METAINFO = {'classes': ('thing',)}

    def __init__(self, length: int, **kwargs):
        self.length = length
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict]:
        from sklearn.datasets import load_sample_images

        paths = load_sample_images().filenames
        corners = np.random.default_rng(0).uniform(0, (400, 200), (7, 2)).tolist()
        instances = [dict(bbox=[x, y, x + 200, y + 180], bbox_label=0, ignore_flag=0) for x, y in corners]
        photo = dict(height=427, width=640, gt_label=0, instances=instances)
        return [dict(photo, img_id=i, img_path=path) for i, path in zip(range(self.length), cycle(paths))]


def transform_times(dataset: BaseDataset, count: int) -> dict[str, float]:
    """Return the milliseconds per image of each transform, in one thread of one process."""
    while hasattr(dataset, 'dataset'):  # wrappers have no pipeline
        dataset = dataset.dataset
    times = dict.fromkeys((name_of(transform) for transform in dataset.pipeline.transforms), 0.0)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(0)  # as in the workers of a data loader
    for i in islice(cycle(range(len(dataset))), count):
        data = copy.deepcopy(dataset.get_data_info(i))
        for transform in dataset.pipeline.transforms:
            start = time.perf_counter()
            data = transform(data)
            times[name_of(transform)] += (time.perf_counter() - start) * 1e3 / count
            if data is None:  # the dataset would take another image
                break
    cv2.setNumThreads(threads)
    return times


def name_of(transform: Callable) -> str:
    inner = getattr(getattr(transform, 'transforms', None), 'transforms', [])
    return '+'.join([type(transform).__name__, *(type(one).__name__ for one in inner)])


def speed(run: Callable[[], object], images: int, repeats: int, warm_up: int = 1, device: str = 'cpu') -> float:
    """Return the images a second of runs that process ``images`` each, after ``warm_up`` runs that are not measured."""
    for _ in range(warm_up):
        run()
    return 1e3 * images * repeats / timed(lambda: [run() for _ in range(repeats)], device)


@command()
def main(args: argparse.Namespace) -> None:
    cfg = load_config(args)
    warnings.simplefilter('ignore')
    logging.disable(logging.WARNING)
    if args.amp:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
    loader = cfg.train_dataloader
    if args.photos:
        loader.dataset = dict(type='mmengine.SamplePhotos', length=10_000, pipeline=loader.dataset.pipeline)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = cfg.test_cfg = cfg.test_dataloader = None
    cfg.test_evaluator = cfg.load_from = None
    with tempfile.TemporaryDirectory() as folder:
        cfg.work_dir = folder
        try:
            runner = build_runner(cfg)
            data_loader = runner.build_dataloader(loader)
        except InputError as error:
            raise InputError(f'{error}; --photos takes two photographs instead') from error
        if len(data_loader) == 0:
            raise InputError(f'{args.config}: {len(data_loader.dataset)} images do not fill one batch')
        times = transform_times(data_loader.dataset, args.images)
        print(f'{Path(args.config).stem}: milliseconds an image, one process')
        for name, value in times.items():
            print(f'  {value:7.2f}  {name}')
        one = 1e3 / sum(times.values())
        print(f'one process: {one:.1f} images/s')

        batches = (batch for _ in repeat(None) for batch in data_loader)
        prefetched = 2 * loader.num_workers + 1  # not measured: workers load these during the other measurements
        fed = speed(lambda: next(batches), loader.batch_size, args.batches, prefetched)
        print(f'the loader with {loader.num_workers} workers: {fed:.1f} images/s')

        batch = next(batches)
        runner.optim_wrapper = runner.build_optim_wrapper(cfg.optim_wrapper)
        runner.optim_wrapper.initialize_count_status(runner.model, 0, 1000)
        runner.message_hub.update_info('iter', 0)  # which multi-scale training reads
        runner.model.train()

        def step() -> Mapping:
            return runner.model.train_step(copy.deepcopy(batch), runner.optim_wrapper)

        device = runner.model.data_preprocessor.device.type
        eaten = speed(step, loader.batch_size, args.batches, device=device)
    print(f'a training step of {loader.batch_size} images on one {device}: {eaten:.1f} images/s, ', end='')
    print(f'which {math.ceil(eaten / one)} workers feed')


if __name__ == '__main__':
    main(args)
