"""Write a classifier or an RT-DETR as ONNX file, post-processing included: ``export_onnx.py CONFIG CKPT --out M.onnx``.

Inputs: ``images`` (B, 3, H, W), float32, 0 to 255, blue first, resized to the whole input; of a detector also
``sizes`` (B, 2), height and width of the original images. Outputs: ``scores`` of a classifier; ``boxes``, ``scores``
and ``labels`` of a detector, in pixels of the original images.
"""

import argparse
import logging
import os
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from mmengine.config import Config, DictAction
from mmengine.registry import DATASETS

from mmspartan.deployment.exported import Session
from mmspartan.deployment.graph import build_graph, load_model, switch_to_deploy
from mmspartan.deployment.onnx import to_onnx
from mmspartan.deployment.winograd import use_winograd
from mmspartan.engine.launch import explain_refused_checkpoint, require_file, test_size


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out', required=True, type=Path, help='file to write')
    parser.add_argument('--size', type=int, nargs=2, metavar=('H', 'W'), help="of the input; the test pipeline's")
    parser.add_argument('--dynamic-batch', action='store_true', help='any number of images; one otherwise')
    parser.add_argument(
        '--winograd', action='store_true', help='3x3 convolutions in half the multiplications: for float32 on CPUs'
    )
    parser.add_argument(
        '--simplify', action='store_true', help="by onnxslim, which writes Winograd's kernels down, twice as large"
    )
    parser.add_argument('--verify', action='store_true', help="compare with PyTorch on images of the config's test set")
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='settings that override the config')
    return parser.parse_args()


def export(graph: torch.nn.Module, size: tuple[int, int], dynamic_batch: bool) -> onnx.ModelProto:
    batch = 2 if dynamic_batch else 1
    example = {'images': torch.rand(batch, 3, *size) * 255, 'sizes': torch.tensor([[480.0, 640.0]] * batch)}
    dim = torch.export.Dim('batch', min=1, max=1024)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        program = to_onnx(
            graph,
            [example[name] for name in graph.inputs],
            input_names=graph.inputs,
            output_names=graph.outputs,
            dynamic_shapes=tuple({0: dim} for _ in graph.inputs) if dynamic_batch else None,
        )
    return program.model_proto


def write(model: onnx.ModelProto, path: Path) -> None:
    """Under its name the file is there only once it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'{path.name}.{os.getpid()}.part')
    try:
        onnx.save(model, partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def verify(graph: torch.nn.Module, path: Path, cfg: Config, count: int = 8) -> list[float]:
    """Of each of some test images the largest difference of scores, and of boxes relative to it, to PyTorch's."""
    session = Session(path)
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    differences = []
    for i in range(min(count, len(dataset))):
        data = dataset[i]
        feed = dict(images=data['inputs'][None].float())
        if 'sizes' in graph.inputs:
            feed['sizes'] = torch.tensor([data['data_samples'].ori_shape]).float()
        with torch.no_grad():
            expected = graph(*feed.values())
        expected = dict(zip(graph.outputs, expected if isinstance(expected, tuple) else (expected,)))
        found = session(**{name: value.numpy() for name, value in feed.items()})
        worst = float(np.abs(found['scores'] - expected['scores'].numpy()).max())
        if 'boxes' in found:
            gaps = -np.diff(expected['scores'].numpy(), prepend=1, append=0)
            sure = np.minimum(gaps[:, 1:], gaps[:, :-1]) > 1e-4  # near-ties may change places
            shifts = np.abs(found['boxes'] - expected['boxes'].numpy())[sure] / feed['sizes'].max().item()
            worst = max(worst, float(shifts.max(initial=0)))
        differences.append(worst)
    return differences


def main():
    args = parse_args()
    require_file(args.config)
    require_file(args.checkpoint)
    logging.disable(logging.WARNING)
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options or {})
    size = tuple(args.size or test_size(cfg))
    try:
        with explain_refused_checkpoint():
            plain, deployed = (load_model(cfg, args.checkpoint) for _ in range(2))
        switch_to_deploy(deployed)
        replaced = use_winograd(deployed) if args.winograd else 0
        graph = build_graph(deployed)
    except ValueError as error:
        raise SystemExit(str(error)) from None
    if args.winograd:
        print(f'{replaced} convolutions in the form of Winograd')
    print(f'exporting for {"any number of images" if args.dynamic_batch else "one image"} of {size[0]}x{size[1]}')
    model = export(graph, size, args.dynamic_batch)
    if args.simplify:
        import onnxslim

        model = onnxslim.slim(model)
    classes = load_classes(cfg)
    props = {'config': Path(args.config).stem, 'classes': '\n'.join(classes), 'winograd': str(replaced)}
    onnx.helper.set_model_props(model, props)
    onnx.checker.check_model(model)
    write(model, args.out)
    print(f'{args.out}: {len(model.graph.node)} nodes, {args.out.stat().st_size / 1e6:.1f} MB')
    if args.verify:
        if size != tuple(test_size(cfg)):
            raise SystemExit('--verify compares on the test pipeline, whose images are of another size than --size')
        differences = verify(build_graph(plain), args.out, cfg)
        median = float(np.median(differences))
        print(
            f'difference from PyTorch: median of {len(differences)} images {median:.1e}, largest {max(differences):.1e}'
        )
        # not the largest: rounding may decide a near-tie of the channel argmax, or of the selection of queries
        if not median < 1e-3:
            raise SystemExit(f'{args.out}: differs from PyTorch')


def load_classes(cfg: Config) -> list[str]:
    """Names from the config's test set, if it says them."""
    return list(cfg.test_dataloader.dataset.get('metainfo', {}).get('classes', []))


if __name__ == '__main__':
    main()
