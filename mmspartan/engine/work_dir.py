"""The folder of a run: one run at a time, no remains of killed ones, and the checkpoint to go on from."""

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
    """Holds a work dir for one training; the operating system lets go of it when the process ends, however that is.

    Args:
        work_dir: The folder; made if it is not there.

    Raises:
        InputError: If another process trains there; says which.
    """

    def __init__(self, work_dir: str | Path):
        Path(work_dir).mkdir(parents=True, exist_ok=True)
        self.file = open(Path(work_dir, '.lock'), 'a+')  # noqa: SIM115 - open as long as it is held
        try:
            fcntl.lockf(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # which, other than flock, no worker inherits
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
    """Remove what killed runs left of files that they were writing; only for the holder of the lock.

    Returns:
        list[str]: Their names.
    """
    ours = re.compile(r'(\.pth|last_checkpoint)\.\d+\.part$')  # as AtomicLocalBackend calls them
    found = [path for path in Path(work_dir).glob('*.part') if ours.search(path.name)]
    for path in found:
        path.unlink(missing_ok=True)
    return [path.name for path in found]


def latest_checkpoint(work_dir: str | Path) -> str | None:
    """The checkpoint to resume from, or None if training has to start anew.

    That is the one whose name mmengine noted in ``last_checkpoint``, inside this folder, which may be a copy of the one
    that the note was made in; a file elsewhere only if there is none inside. Without a note, the checkpoint of the
    highest epoch or iteration.
    """
    note = Path(work_dir, 'last_checkpoint')
    noted = note.read_text(errors='replace').strip() if note.is_file() else ''
    for path in (Path(work_dir, Path(noted).name), Path(noted)) if noted else ():
        if path.is_file():
            return str(path)
    found = [path for path in Path(work_dir).glob('*.pth') if re.fullmatch(r'(epoch|iter)_\d+', path.stem)]
    return str(max(found, key=lambda path: int(path.stem.split('_')[1]))) if found else None
