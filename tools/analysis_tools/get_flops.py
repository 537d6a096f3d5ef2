"""Parameters and multiply-adds of the models of configs: ``python tools/analysis_tools/get_flops.py CONFIG [...]``."""

import argparse
import logging
from pathlib import Path

from mmengine.analysis import get_model_complexity_info
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', nargs='+', help='config files')
    parser.add_argument('--shape', type=int, nargs='+', help='side, or height and width; the test size by default')
    return parser.parse_args()


def test_size(cfg: Config) -> tuple[int, int]:
    """Height and width ``(h, w)`` of the images that the test pipeline makes."""
    for transform in reversed(cfg.test_dataloader.dataset.pipeline):
        if transform.type == 'CenterCrop':
            return transform.crop_size, transform.crop_size
        if transform.type == 'Resize':
            width, height = transform.scale
            return height, width
    raise SystemExit(f'{cfg.filename}: its test pipeline has no CenterCrop or Resize; give --shape')


def main():
    args = parse_args()
    print(f'{"config":24}{"input":>12}{"parameters":>14}{"multiply-adds":>16}')
    for path in args.config:
        cfg = Config.fromfile(path)
        init_default_scope(cfg.get('default_scope', 'mmengine'))
        size = (args.shape[0], args.shape[-1]) if args.shape else test_size(cfg)
        logging.disable(logging.WARNING)  # what the count leaves out, element-wise operations, would be listed
        model = MODELS.build(cfg.model).eval()
        info = get_model_complexity_info(model, (3, *size), show_table=False, show_arch=False)
        logging.disable(logging.NOTSET)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        print(f'{Path(path).stem:24}{f"{size[0]}x{size[1]}":>12}{parameters:>14,}{info["flops"] / 1e9:>14.3f} G')


if __name__ == '__main__':
    main()
