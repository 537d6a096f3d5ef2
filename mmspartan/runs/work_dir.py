"""The folder of a run: its lock, partial files of killed runs, and the checkpoint to resume from."""

import errno
import fcntl
import os
import re
import socket
import time
import warnings
from pathlib import Path

from ..errors import InputError


class WorkDirLock:
    """Locks a work dir for one training. The operating system releases the lock when the process ends for any reason.

    The folder is created if it does not exist. Raises InputError, which names the process, if another one trains there.
    """

    def __init__(self, work_dir: str | Path):
        Path(work_dir).mkdir(parents=True, exist_ok=True)
        self.file = open(Path(work_dir, '.lock'), 'a+')  # noqa: SIM115 - open as long as it is held
        try:
            fcntl.lockf(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # workers do not inherit it, unlike flock's
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                warnings.warn(
                    f'{work_dir}: its file system has no locks; two runs in it would disturb each other', stacklevel=2
                )
                return
            self.file.seek(0)
            holder = self.file.read().strip() or 'another process'
            self.file.close()
            raise InputError(
                f'{work_dir}: {holder} is training there; wait for it, or give this run another --work-dir'
            ) from None
        self.file.truncate(0)
        self.file.write(f'process {os.getpid()} on {socket.gethostname()}, since {time.strftime("%Y-%m-%d %H:%M:%S")},')
        self.file.flush()

    def release(self) -> None:
        self.file.close()


def remove_partial_files(work_dir: str | Path) -> list[str]:
    """Remove incomplete files that killed runs were writing, and return their names; for the holder of the lock."""
    ours = re.compile(r'(\.pth|last_checkpoint)\.\d+\.part$')  # as AtomicLocalBackend names them
    found = [path for path in Path(work_dir).glob('*.part') if ours.search(path.name)]
    for path in found:
        path.unlink(missing_ok=True)
    return [path.name for path in found]


def latest_checkpoint(work_dir: str | Path) -> str | None:
    """Return the checkpoint to resume from, or None if there is none.

    This is the file that mmengine has recorded in ``last_checkpoint``. Since the folder may be a copy, a file of this
    name inside the folder takes precedence over the recorded path. Without a record, it is the checkpoint with the
    highest epoch or iteration.
    """
    record = Path(work_dir, 'last_checkpoint')
    recorded = record.read_text(errors='replace').strip() if record.is_file() else ''
    for path in (Path(work_dir, Path(recorded).name), Path(recorded)) if recorded else ():
        if path.is_file():
            return str(path)
    found = [path for path in Path(work_dir).glob('*.pth') if re.fullmatch(r'(epoch|iter)_\d+', path.stem)]
    return str(max(found, key=lambda path: int(path.stem.split('_')[1]))) if found else None
