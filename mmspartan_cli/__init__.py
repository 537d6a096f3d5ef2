"""What the scripts of ``tools/`` do before they import torch: they read their arguments and set how OpenMP waits.

``mmspartan`` imports torch and OpenMMLab, which takes seconds; this package imports neither torch nor ``mmspartan``.
"""

from .arguments import (
    CfgOptions,
    build_launch_parser,
    build_parser,
    build_subject_parser,
    find_images,
    parse,
    printable,
    require_config,
    require_file,
    require_path,
    shown,
    sibling_command,
)

__all__ = [
    'CfgOptions',
    'build_launch_parser',
    'build_parser',
    'build_subject_parser',
    'find_images',
    'parse',
    'printable',
    'require_config',
    'require_file',
    'require_path',
    'shown',
    'sibling_command',
]
