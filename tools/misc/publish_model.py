"""Make a checkpoint ready to be published, by mmdet's or mmpretrain's own ``publish_model.py``.

Those scripts read checkpoints as torch >= 2.6 refuses to, unless mmspartan is imported before. Kept are the weights
that were evaluated (averaged ones, if there are) and their meta information; a hash becomes part of the name.
"""

import argparse
import runpy
import sys
from importlib.util import find_spec
from pathlib import Path

import mmspartan  # noqa: F401 - makes mmengine's checkpoints loadable


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('in_file', help='checkpoint of a training')
    parser.add_argument('out_file', help='file to write, without the hash')
    parser.add_argument('--toolbox', choices=['mmdet', 'mmpretrain'], default='mmdet', help='whose script')
    args = parser.parse_args()
    package = find_spec(args.toolbox)
    if package is None:
        raise SystemExit(f'{args.toolbox} is not installed; see --toolbox')
    if not Path(args.in_file).is_file():
        raise SystemExit(f'{args.in_file}: no such file')
    script = Path(package.origin).parent / '.mim' / 'tools' / 'model_converters' / 'publish_model.py'
    sys.argv = [str(script), args.in_file, args.out_file]
    runpy.run_path(str(script), run_name='__main__')


if __name__ == '__main__':
    main()
