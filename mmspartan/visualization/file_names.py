"""Names of drawn images that no two images share. The hooks of MMDetection and MMPretrain leave out the folders."""

from pathlib import Path


class FileNames:
    """The files that were written, each with the image that is drawn in it."""

    def __init__(self) -> None:
        self.written: dict[str, str] = {}

    def free(self, out_file: str, source: str) -> str:
        """Return ``out_file`` for the image ``source``, with as many of its folders before the name as are needed."""
        free, folder = Path(out_file), Path(source).parent
        while self.written.setdefault(str(free), source) != source:
            free, folder = free.with_name(f'{folder.name.lstrip(".") or "_"}_{free.name}'), folder.parent
        return str(free)
