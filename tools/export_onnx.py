"""Export a model with its post-processing to ONNX: ``export_onnx.py CONFIG CKPT --out M.onnx``.

Inputs: ``images`` (B, 3, H, W), float32, 0 to 255, BGR, resized; for a detector also ``sizes`` (B, 2), height and width
of the original images. Outputs:

* classifier of MMPretrain: ``scores``;
* RT-DETR: ``boxes`` in pixels of the original images, ``scores``, ``labels``;
* segmenter of MMSegmentation: ``labels`` of all pixels;
* heat maps of MMPose: ``keypoints`` in pixels of the input, ``keypoint_scores``.
"""

import argparse
import logging
import warnings
from pathlib import Path

from mmspartan_cli import CfgOptions, parse
from mmspartan_cli.choices import DEFAULT_OPSET, OPSETS, PRECISION_NAMES


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out', required=True, type=Path, help='file to write')
    parser.add_argument(
        '--size', type=int, nargs=2, metavar=('H', 'W'), help="size of the input; the test pipeline's by default"
    )
    parser.add_argument(
        '--opset',
        type=int,
        default=DEFAULT_OPSET,
        help=f'{OPSETS[0]} to {OPSETS[-1]}, %(default)s by default; lower for older runtimes (17 for TensorRT 8.6)',
    )
    parser.add_argument('--dynamic-batch', action='store_true', help='accept any number of images instead of one')
    parser.add_argument('--simplify', action='store_true', help='simplify by onnxslim')
    parser.add_argument(
        '--precision',
        choices=PRECISION_NAMES,
        default='f32',
        help='bf16: the file of f32, which asks OpenVINO for BF16 on CPUs that have it; f16: half the size, for GPUs',
    )
    parser.add_argument('--verify', action='store_true', help="compare with PyTorch on images of the config's test set")
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptions, help='settings that override the config')
    return parse(parser, 'checkpoint')


if __name__ == '__main__':
    args = parse_args()  # before the imports that take seconds

import numpy as np
import onnx
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.model import BaseModel
from mmengine.registry import DATASETS

from mmspartan.checkpoints.checkpoint import AtomicLocalBackend
from mmspartan.commands.command import blame, command
from mmspartan.commands.launch import read_config, size_of_test_images
from mmspartan.convert.files import check_target
from mmspartan.deploy import deploy
from mmspartan.deploy.load import load_model
from mmspartan.deploy.onnx import require_exporter, to_onnx
from mmspartan.deploy.precision import PRECISIONS, PROPERTY, Precision
from mmspartan.deploy.session import Session
from mmspartan.deploy.tasks import Task, build_graph, difference_of_scores, task_of_model
from mmspartan.errors import InputError
from mmspartan.runs.long_work import announced


def check_size(graph: torch.nn.Module, task: Task, size: tuple[int, int]) -> None:
    """Raise InputError unless the model accepts images of that size."""
    try:
        with torch.no_grad():
            graph(*task.example(1, size).values())
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f'--size {size[0]} {size[1]}: multiples of 32 fit the model, this does not: {reason}'
        ) from None


def run_graph(graph: torch.nn.Module, task: Task, feed: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Return the outputs of a graph for the first image of a feed, by their names."""
    with torch.no_grad():
        outputs = graph(*map(torch.from_numpy, feed.values()))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return {name: value[0] for name, value in zip(task.outputs, outputs)}


def check_predictions(model: BaseModel, graph: torch.nn.Module, task: Task, samples: list[dict]) -> None:
    """Compare what the model predicts from the images of the test pipeline with what its graph makes of them.

    Raises InputError if they differ in the median: the pipeline or the model does what the graph does not.
    """
    if task.read is None or not samples:
        return
    differences = []
    for data in samples:
        batch = pseudo_collate([data])
        feed = task.feed([data['inputs']], [data['data_samples']])
        with torch.no_grad():
            predicted = task.read(model.test_step(batch)[0])
        sample = data['data_samples'].new()
        task.write(sample, run_graph(graph, task, feed))
        found, expected = (
            {name: value.float().numpy() for name, value in each.items()} for each in (task.read(sample), predicted)
        )
        differences.append(task.difference(found, expected, feed))
    if not np.median(differences) < PRECISIONS['f32'].allowed:
        raise InputError(
            f'--verify: the {task.name} predicts otherwise than its graph, by {np.median(differences):.1e}: its test '
            'pipeline prepares images, or its test_cfg computes predictions, as the graph does not (docs/deployment.md)'
        )


def export(
    graph: torch.nn.Module, task: Task, size: tuple[int, int], dynamic_batch: bool, opset: int, precision: str
) -> onnx.ModelProto:
    require_exporter()
    example = task.example(2 if dynamic_batch else 1, size)
    dim = torch.export.Dim('batch', min=1, max=1024)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        program = to_onnx(
            graph,
            list(example.values()),
            opset,
            precision,
            input_names=list(example),
            output_names=task.outputs,
            dynamic_shapes=tuple({0: dim} for _ in example) if dynamic_batch else None,
        )
    return program.model_proto


def read_test_images(cfg: Config, size: tuple[int, int], count: int = 8) -> list[dict]:
    """Return the first images of the test set; raises InputError if the pipeline gives them another size."""
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    samples = [dataset[i] for i in range(min(count, len(dataset)))]
    for found in (tuple(data['inputs'].shape[-2:]) for data in samples):
        if found != size:
            raise InputError(
                f'--verify: the test pipeline makes images of {found[0]}x{found[1]}, not {size[0]}x{size[1]}; export '
                f'for its size, or without --verify'
            )
    return samples


def verify(graph: torch.nn.Module, task: Task, path: Path, samples: list[dict], precision: Precision) -> list[float]:
    """Return the largest difference from PyTorch for each test image."""
    session = Session(path)
    by_scores = not precision.runtimes and 'scores' in task.outputs  # of FP16, where detections change places
    difference = difference_of_scores if by_scores else task.difference
    differences = []
    for data in samples:
        feed = task.feed([data['inputs']], [data['data_samples']])
        expected = {name: value.numpy() for name, value in run_graph(graph, task, feed).items()}
        found = {name: value[0] for name, value in session(**feed).items()}
        differences.append(difference(found, expected, feed))
    return differences


@command()
def main(args: argparse.Namespace) -> None:
    precision = PRECISIONS[args.precision]
    if args.opset not in OPSETS:
        raise InputError(f'--opset {args.opset}: can be {OPSETS[0]} to {OPSETS[-1]}')
    logging.disable(logging.WARNING)
    cfg = read_config(args.config)
    cfg.merge_from_dict(args.cfg_options or {})
    check_target(args.out, args.checkpoint)
    size = tuple(args.size or size_of_test_images(cfg, '--size H W'))
    with blame(args.config, cfg):
        plain = load_model(cfg, args.checkpoint)
        task = task_of_model(plain)
        reference, graph = build_graph(plain), build_graph(deploy(plain))
    check_size(reference, task, size)
    if args.verify:
        samples = read_test_images(cfg, size)
        with announced(f'predicting {len(samples)} images in PyTorch'), blame(args.config):
            check_predictions(plain, reference, task, samples)
    count = 'any number of images' if args.dynamic_batch else 'one image'
    with announced(f'exporting for {count} of width {size[1]} and height {size[0]}'):
        model = export(graph, task, size, args.dynamic_batch, args.opset, args.precision)
        if args.simplify:
            import onnxslim

            model = onnxslim.slim(model)
        model = precision.convert(model)
    classes = '\n'.join(names_in_file(plain, task, cfg))
    onnx.helper.set_model_props(model, {'config': Path(args.config).stem, 'classes': classes, PROPERTY: args.precision})
    onnx.checker.check_model(model)
    AtomicLocalBackend().put(model.SerializeToString(), args.out)
    print(f'{args.out}: {len(model.graph.node)} nodes, {args.out.stat().st_size / 1e6:.1f} MB')
    if args.verify:
        with announced(f'predicting {len(samples)} images with the file'):
            differences = verify(reference, task, args.out, samples, precision)
        median = float(np.median(differences))
        print(
            f'difference from PyTorch: median of {len(differences)} images {median:.1e}, largest {max(differences):.1e}'
        )
        # the median, since rounding can change the channel argmax or the selection of queries in single images
        if not median < precision.allowed:
            raise InputError(f'{args.out}: differs from PyTorch')


def names_in_file(model: BaseModel, task: Task, cfg: Config) -> list[str]:
    """Return the class names of the checkpoint or else of the config's test set; numbers if neither has all of them."""
    count = getattr(getattr(model, task.head), 'num_classes', 0)
    for meta in (model.dataset_meta, cfg.test_dataloader.dataset.get('metainfo', {})):
        names = list(meta.get('classes', ()))
        if names and len(names) == count:
            return names
    return [str(i) for i in range(count)]


if __name__ == '__main__':
    main(args)
