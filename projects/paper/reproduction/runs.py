"""Trainings of a config: how far they are, and what the last evaluation of a finished one says."""

import json
from functools import cache
from pathlib import Path

from mmengine.config import Config

from mmspartan.runs.work_dir import latest_checkpoint

from .configs import config_path


@cache
def config_of(config: str) -> Config:
    """Read a config once. What is returned is not to be changed, nor are models to be built from it."""
    return Config.fromfile(config_path(config))


def run_name(config: str) -> str:
    """Return the name of the folder that a config trains in. Configs of one network share it."""
    return Path(config_of(config).get('work_dir') or config).name


class Run:
    """The training of a config in a folder of runs.

    Args:
        config: Name of the config, see :mod:`.configs`.
        work_dirs: Folder with a folder for each training, as ``tools/train.py`` makes them.
    """

    def __init__(self, config: str, work_dirs: str | Path):
        self.folder = Path(work_dirs, run_name(config))
        self.epochs: int = config_of(config).train_cfg.max_epochs

    @property
    def is_begun(self) -> bool:
        return latest_checkpoint(self.folder) is not None

    def metrics(self) -> dict[str, float] | None:
        """Return the metrics after the last epoch of the recipe by their names in the log; None before that."""
        return metrics_after(self.folder, self.epochs)


def metrics_after(folder: Path, epochs: int) -> dict[str, float] | None:
    """Return the metrics in the logs of a folder after that many epochs; None before that."""
    last = None
    for log in sorted(folder.glob('*/vis_data/scalars.json')):  # a resumed training has several
        for line in log.read_text(errors='replace').splitlines():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:  # a killed process leaves a part of a line
                continue
            if isinstance(entry, dict) and 'loss' not in entry and entry.get('step') == epochs:
                last = entry
    return last
