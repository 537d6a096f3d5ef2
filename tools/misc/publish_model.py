"""Prepare a checkpoint for publication by the ``publish_model.py`` of mmdet or mmpretrain.

Those scripts read checkpoints that torch reads weights-only, so checkpoints of a stock mmengine are converted first.
The result has the weights that were evaluated (averaged ones, if there are any) and their meta information, and a hash
in its name.

A file with the suffix ``.safetensors`` is written by this script: in float16, half the size, with the class names and
without a hash.
"""

import argparse
import runpy
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from mmspartan_cli import parse


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('in_file', help='checkpoint of a training')
    parser.add_argument('out_file', help='file to write, without the hash')
    parser.add_argument('--toolbox', choices=['mmdet', 'mmpretrain'], default='mmdet', help='package of the script')
    return parse(parser, 'in_file')


if __name__ == '__main__':
    args = parse_args()  # before the imports that take seconds

from mmspartan.checkpoints.checkpoint import read_checkpoint
from mmspartan.checkpoints.class_names import classes_of
from mmspartan.checkpoints.safetensors_file import SUFFIX, float16_safetensors
from mmspartan.commands.command import command
from mmspartan.convert.files import check_target, read_weights, write_bytes, write_whole
from mmspartan.errors import InputError


@command()
def main(args: argparse.Namespace) -> None:
    is_half = Path(args.out_file).suffix == SUFFIX
    package = find_spec(args.toolbox)
    if package is None and not is_half:
        raise InputError(f'{args.toolbox} is not installed; see --toolbox')
    check_target(args.out_file)
    weights, entry = read_weights(args.in_file)
    if entry != 'state_dict':
        raise InputError(f'{args.in_file}: not a checkpoint of mmengine: it has no state_dict')
    checkpoint = read_checkpoint(args.in_file)
    meta = checkpoint.get('meta')
    if isinstance(meta, Mapping) and not isinstance(meta.get('dataset_meta', {}), Mapping):
        raise InputError(f'{args.in_file}: its meta.dataset_meta is a {type(meta["dataset_meta"]).__name__}, no dict')
    if Path(args.out_file).exists():
        raise InputError(f'{args.out_file}: is there already')
    Path(args.out_file).absolute().parent.mkdir(parents=True, exist_ok=True)
    if is_half:
        write_bytes(args.out_file, float16_safetensors(weights, classes_of(checkpoint)))
        print(f'written to {args.out_file}')
        return
    script = Path(package.origin).parent / '.mim' / 'tools' / 'model_converters' / 'publish_model.py'
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder, Path(args.in_file).name)
        write_whole(plain, checkpoint)
        sys.argv = [str(script), str(plain), args.out_file]
        runpy.run_path(str(script), run_name='__main__')
        end = time.monotonic() + 60
        while Path(args.out_file).exists() and time.monotonic() < end:  # the script does not wait for its `mv`
            time.sleep(0.01)


if __name__ == '__main__':
    main(args)
