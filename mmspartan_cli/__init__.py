"""What the scripts of ``tools/`` do before they import torch: read their arguments and limit OpenMP's threads.

``mmspartan`` imports torch and OpenMMLab, which takes seconds; this package imports neither torch nor ``mmspartan``.
"""

import argparse
import importlib.util
import os
import runpy
import shlex
import signal
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .choices import IMAGE_SUFFIXES
from .openmp import limit_threads

PACKAGE = 'mmspartan::'  # as OpenMMLab's packages begin the names of their configs
JOINERS = '\u200c\u200d'  # format characters of Persian, of Indian languages and of emoji


class CfgOptions(argparse.Action):
    """mmengine's ``DictAction``, which is imported when the option is given."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, given: Any, *args: Any) -> None:
        from mmengine.config import DictAction

        for setting in given:
            if '=' not in setting:
                raise SystemExit(f'--cfg-options {shown(setting)}: must be KEY=VALUE')
        try:
            DictAction(self.option_strings, self.dest, nargs='+')(parser, namespace, given, *args)
        except AssertionError as error:  # of brackets
            raise SystemExit(f'--cfg-options {shown(" ".join(given))}: {error}') from error


def build_parser(description: str) -> argparse.ArgumentParser:
    """Build a parser with the arguments of scripts that build a Runner."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='folder for logs and checkpoints; work_dirs/<config name> by default')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=CfgOptions,
        help='settings that override the config: key=value, key="[a,b]" or key=a,b for lists',
    )
    parser.set_defaults(launcher='none', local_rank=0)
    return parser


def build_launch_parser(description: str) -> argparse.ArgumentParser:
    """Build a parser with the common arguments of OpenMMLab's training and test scripts, which a launcher may start."""
    parser = build_parser(description)
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='job launcher')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    return parser


def build_subject_parser(description: str, compare: bool = True) -> argparse.ArgumentParser:
    """Build a parser for a model and an image, or with ``compare`` for several of both."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='weights')
    if not compare:
        parser.add_argument('image', help='image')
    else:
        parser.add_argument('image', nargs='+', help='images, or folders of images')
        parser.add_argument(
            '--compare',
            nargs=2,
            action='append',
            default=[],
            metavar=('CONFIG', 'CHECKPOINT'),
            help='another model; may be given several times',
        )
    parser.add_argument('--device', help='cuda:0, cpu, ...; a GPU by default, if there is one')
    return parser


def parse(parser: argparse.ArgumentParser, *files: str) -> argparse.Namespace:
    """Parse the command line, check the files that it names, and prepare the import of torch.

    Args:
        parser: Its argument ``config``, if there is one, names one or several configs.
        files: Arguments that name a file.

    Raises:
        SystemExit: If a config or file does not exist. The message is one line that names it.
    """
    may_be_empty = {option for action in parser._actions if action.default == '' for option in action.option_strings}
    for before, text in zip(sys.argv, sys.argv[1:]):
        is_empty = not text or (text.startswith('--') and text.find('=') == len(text) - 1)
        if is_empty and (text.removesuffix('=') or before) not in may_be_empty:  # an empty path is the current folder
            parser.error(f'{shown(text or before)}: is followed by an empty argument')
    args = parser.parse_args()
    configs = getattr(args, 'config', None) or []
    for config in [configs] if isinstance(configs, str) else configs:
        require_config(config)
    for name in files:
        require_file(str(getattr(args, name)))
    limit_threads()
    if 'torch' not in sys.modules:
        is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # a shell may ignore it
        if is_default and threading.current_thread() is threading.main_thread():
            # Ctrl-C during the imports ends the command without a traceback; a `main` that cleans up handles it itself
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        if sys.stderr.isatty():
            print('loading PyTorch and OpenMMLab', file=sys.stderr)
    return args


def parse_subjects(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the arguments of :func:`build_subject_parser`, check all files, and list the images."""
    args = parse(parser, 'checkpoint')
    for config, checkpoint in args.compare:
        require_config(config)
        require_file(checkpoint)
    args.image = find_images(args.image)
    return args


def config_name(name: str) -> str:
    """Return the name of a config as ``mmspartan.config_path`` takes it, of one in OpenMMLab's form."""
    return name.removeprefix(PACKAGE).removeprefix('configs/').removesuffix('.py')


def require_config(path: str) -> None:
    """Exit with a message of one line if a config file does not exist."""
    if path.startswith(PACKAGE):
        name = config_name(path)
        raise SystemExit(f'{path}: give a path: configs/{name}.py, or what mmspartan.config_path({name!r}) returns')
    if not os.path.isfile(path):
        raise SystemExit(f'{shown(path)}: no such config file')


def require_base(name: str) -> None:
    """Exit with a message of one line if ``mmspartan.config_path`` knows no config of this name."""
    package = importlib.util.find_spec('mmspartan')  # without its import
    configs = runpy.run_path(str(Path(package.origin if package and package.origin else '').with_name('configs.py')))
    try:
        configs['config_path'](name)
    except FileNotFoundError as error:
        raise SystemExit(f'--base {shown(name)}: {error}') from None


def require_file(path: str, option: str = '') -> None:
    """Exit with a message of one line if a local file does not exist; URLs are not checked."""
    if '://' not in path and not os.path.isfile(path):
        raise SystemExit(f'{option} {shown(path)}: no such file'.lstrip())


def require_path(path: str, option: str = '') -> None:
    """Exit with a message of one line if a local file or folder does not exist; URLs are not checked."""
    if '://' not in path and not (os.path.isfile(path) or os.path.isdir(path)):
        raise SystemExit(f'{option} {shown(path)}: no such file or folder'.lstrip())


def find_images(sources: Iterable[str]) -> list[Path]:
    """Return the image files among files and folders with their sub-folders.

    Exits with a message of one line if a source does not exist, or a folder has no image.
    """
    found: list[Path] = []
    for source in map(Path, sources):
        if not source.exists():
            raise SystemExit(f'{shown(str(source))}: no such image or folder')
        below = sorted(path for path in source.rglob('*') if not is_hidden(path, source))
        inside = [path for path in below if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()]
        if source.is_dir() and not inside:
            raise SystemExit(f'{shown(str(source))}: no image in it; looked for {", ".join(IMAGE_SUFFIXES)}')
        found += inside or [source]
    return found


def is_hidden(path: Path, folder: Path) -> bool:
    """Whether a file below a folder, or one of the folders between them, is hidden."""
    return any(map(is_hidden_name, path.relative_to(folder).parts))


def is_hidden_name(name: str) -> bool:
    """Whether a file or folder of this name is one that programs make for themselves."""
    return name.startswith('.') or name == '__MACOSX'


def printable(text: str) -> str:
    r"""Return a text without control characters and bytes that are no UTF-8, which become ``\x1b`` and the like."""
    return ''.join(
        char if char.isprintable() or char in JOINERS else char.encode('unicode_escape').decode() for char in text
    )


def inert(cell: Any) -> Any:
    """Return the value of a cell of a table; spreadsheets would run a text that begins as a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(tuple('=+-@\t\r')) else cell


def shown(path: str) -> str:
    """Return a path for a message of one line, printable and shortened to 300 characters."""
    text = printable(path) if path.strip() else repr(path)
    return text if len(text) <= 300 else f'{text[:297]}...'


def sibling_command(tool: str, *arguments: str) -> str:
    """Return the command line, for a shell, that runs another tool of this one's folder."""
    return f'python {shlex.join([str(Path(sys.argv[0]).with_name(tool)), *map(printable, arguments)])}'
