"""Files of configs by name: ``spartan_t_in1k`` is the package's, ``peers/pvt_t_in1k``, in a folder, the project's."""

from pathlib import Path

ROOT = Path(__file__).parents[3]  # of the checkout


def config_file(name: str) -> str:
    """Return the path of a config in the checkout, such as ``projects/paper/configs/peers/pvt_t_in1k.py``."""
    return f'projects/paper/configs/{name}.py' if '/' in name else f'configs/{name}.py'


def config_path(name: str) -> str:
    """Return the absolute path of a config."""
    return str(ROOT / config_file(name))
