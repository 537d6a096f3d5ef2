"""A benchmark as a JSON file, and the comparison of two of them."""

import json
import platform
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from .workers import Measured, Settings

# Flags of /proc/cpuinfo on which the speed of convolutions and products depends.
INSTRUCTION_SETS = ('avx2', 'avx512f', 'avx512_vnni', 'avx512_bf16', 'avx_vnni', 'amx_bf16', 'amx_int8')


def machine(device: str) -> str:
    """Return the name of the GPU, or of the processor and its instruction sets."""
    if device.startswith('cuda'):
        return torch.cuda.get_device_name()
    try:
        text = Path('/proc/cpuinfo').read_text()
    except OSError:
        return platform.processor() or platform.machine()
    name = re.search(r'model name\s*: (.*)', text)
    flags = re.search(r'^(?:flags|Features)\s*: (.*)', text, re.MULTILINE)
    sets = [flag for flag in INSTRUCTION_SETS if flags and flag in flags[1].split()]
    return f'{name[1] if name else platform.machine()} ({", ".join(sets)})' if sets else platform.machine()


def write_record(path: Path, settings: Settings, peaks: dict[str, float], measured: list[Measured]) -> None:
    """Write settings, machine, peaks in units of 1e9 multiply-adds a second, and all times in milliseconds."""
    content = dict(
        settings=asdict(settings),
        machine=machine(settings.device),
        torch=torch.__version__,
        peaks=peaks,
        models=[model.as_dict() for model in measured],
    )
    path.write_text(json.dumps(content, indent=1))


def read_record(path: Path) -> dict[str, Any]:
    """Read a file of :func:`write_record`; its models are there by name.

    Raises:
        InputError: If there is no such file, or it is another one.
    """
    try:
        content = json.loads(path.read_text())
        models = {model['name']: Measured(**model) for model in content['models']}
        if not {'machine', 'torch'} <= content.keys() or any(len(model.times) < 2 for model in models.values()):
            raise LookupError
        return {**content, 'settings': Settings(**content['settings']), 'models': models}
    except OSError:
        raise InputError(f'{path}: no such file') from None
    except (ValueError, TypeError, LookupError):
        raise InputError(f'{path}: no file of benchmark.py --json') from None


def differ(one: Measured, other: Measured) -> bool:
    """Whether two measurements differ by more than their spread: their ranges between the quartiles are apart."""
    low, _, high = one.quartiles()
    other_low, _, other_high = other.quartiles()
    return high < other_low or other_high < low
