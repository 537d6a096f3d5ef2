"""Print parameters and FLOPs of the models of configs beside the published numbers: ``get_flops.py CONFIG [...]``.

The count follows the publications. For a classifier, a FLOP is a multiply-add of a convolution, matrix product or
normalization. For a detector, a multiply-add counts as two FLOPs, element-wise operations are included, and RepVGG
blocks are fused. The published detectors predict boxes for all features, 2.1 G at 640x640, but use 300 of them; the
models here predict only these.
"""

import argparse
from pathlib import Path

from mmspartan_cli import parse


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', nargs='+', help='config files')
    parser.add_argument('--shape', type=int, nargs='+', help='side, or height and width; the test size by default')
    return parse(parser)


if __name__ == '__main__':
    args = parse_args()  # before the imports that take seconds

import yaml

from mmspartan.analysis.counting import count
from mmspartan.commands.command import command
from mmspartan.commands.launch import read_config, size_of_test_images


def published() -> dict[str, dict]:
    """Return the metadata in the metafiles by the name of the config, of models whose costs were published."""
    root = Path(__file__).parents[2]
    metafiles = [*root.glob('configs/metafile_*.yml'), *root.glob('projects/*/configs/*/metafile.yml')]
    models = [model for metafile in metafiles for model in yaml.safe_load(metafile.read_text())['Models']]
    return {model['Name']: model['Metadata'] for model in models if 'Metadata' in model}


@command()
def main(args: argparse.Namespace) -> None:
    known = published()
    print(f'{"config":25}{"input":>9}{"parameters":>13}{"published":>11}{"FLOPs":>12}{"published":>12}')
    for path in args.config:
        cfg = read_config(path)
        size = (args.shape[0], args.shape[-1]) if args.shape else size_of_test_images(cfg, '--shape')
        parameters, multiply_adds = count(cfg, size)
        flops = multiply_adds * (2 if cfg.get('default_scope') == 'mmdet' else 1)
        name = Path(path).stem
        row = f'{name:25}{f"{size[0]}x{size[1]}":>9}{parameters:>13,}'
        theirs = known.get(name, {})
        row += f'{theirs["Parameters"] / 1e6:>9.1f} M' if theirs else f'{"-":>11}'
        row += f'{flops / 1e9:>10.3f} G'
        row += f'{theirs["FLOPs"] / 1e9:>10.2f} G' if theirs else f'{"-":>12}'
        print(row, flush=True)


if __name__ == '__main__':
    main(args)
