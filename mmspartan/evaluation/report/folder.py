"""The folder of a report, in which only files of a report are written or replaced."""

import json
from pathlib import Path

from ...errors import InputError
from ...version import __version__

GENERATOR = 'mmspartan'
METRICS = 'metrics.json'


def open_folder(path: str | Path) -> Path:
    """Create the folder of a report, or open that of a former one, whose files will be replaced.

    Raises InputError if the path is a file, or a folder that holds other files and no report.
    """
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise InputError(f'--out {path}: is a file; give a folder')
    if folder.is_dir() and any(folder.iterdir()) and not is_report(folder):
        raise InputError(f'--out {path}: holds files and is no report of tools/evaluate.py; give a new or empty folder')
    (folder / 'pictures').mkdir(parents=True, exist_ok=True)
    if not is_report(folder):  # from now on it is one, also if the run is interrupted
        (folder / METRICS).write_text(json.dumps(dict(generator=generator())))
    return folder


def is_report(folder: Path) -> bool:
    try:
        return str(json.loads((folder / METRICS).read_text())['generator']).startswith(f'{GENERATOR} ')
    except (OSError, ValueError, LookupError, TypeError):
        return False


def generator() -> str:
    return f'{GENERATOR} {__version__}'
