"""Make a checkpoint ready to be published, by mmdet's or mmpretrain's own ``publish_model.py``.

Those scripts read checkpoints as torch >= 2.6 refuses to, unless mmspartan is imported before. Kept are the weights
that were evaluated (averaged ones, if there are) and their meta information; a hash becomes part of the name.
"""

import argparse
import runpy
import sys
from importlib.util import find_spec
from pathlib import Path

# importing mmspartan makes mmengine's checkpoints loadable
from mmspartan.convert import check_target, one_line_errors, read_weights


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('in_file', help='checkpoint of a training')
    parser.add_argument('out_file', help='file to write, without the hash')
    parser.add_argument('--toolbox', choices=['mmdet', 'mmpretrain'], default='mmdet', help='whose script')
    args = parser.parse_args()
    package = find_spec(args.toolbox)
    if package is None:
        raise SystemExit(f'{args.toolbox} is not installed; see --toolbox')
    with one_line_errors(args.in_file, args.out_file):
        check_target(args.out_file)
        _, place = read_weights(args.in_file)
        if place != 'state_dict':
            raise ValueError(f'{args.in_file}: not a checkpoint of mmengine: it has no state_dict')
        if Path(args.out_file).exists():
            raise ValueError(f'{args.out_file}: is there already')
    Path(args.out_file).absolute().parent.mkdir(parents=True, exist_ok=True)
    script = Path(package.origin).parent / '.mim' / 'tools' / 'model_converters' / 'publish_model.py'
    sys.argv = [str(script), args.in_file, args.out_file]
    runpy.run_path(str(script), run_name='__main__')


if __name__ == '__main__':
    main()
