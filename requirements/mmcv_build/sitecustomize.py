"""``exec`` as before Python 3.13, for the builds of mmcv 2.1 and xtcocotools: Python imports this when it starts.

Their ``setup.py`` calls ``exec`` in a function and then reads a version from ``locals()``. From Python 3.13 on (PEP
667) names that ``exec`` binds are not among the locals of a function, unless its frame is given.
"""

import builtins
import sys

original = builtins.exec


def exec(source, /, globals=None, locals=None, **options):
    if globals is None:
        frame = sys._getframe(1)
        globals, locals = frame.f_globals, frame.f_locals if locals is None else locals
    original(source, globals, locals, **options)


if sys.version_info >= (3, 13):
    builtins.exec = exec
