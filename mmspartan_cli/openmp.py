"""How PyTorch's OpenMP threads wait for each other, which is decided when torch is imported.

By default libgomp's threads spin for milliseconds at each barrier. Beside other processes they take the cores from
the thread that they wait for: a training step becomes several times as slow. A short spin costs nothing where the
cores are free; where they are not, threads should sleep at once. The figures are under "Beside other processes" in
docs/performance.md.
"""

import os
import sys
import time
from pathlib import Path

SHORT_SPIN = {'GOMP_SPINCOUNT': '10000'}  # turns of libgomp's loop, less than a millisecond
NO_SPIN = {'OMP_WAIT_POLICY': 'PASSIVE'}


def limit_spinning() -> None:
    """Set how OpenMP's threads wait, unless the environment says so or torch has been imported already."""
    if 'torch' not in sys.modules and not any(name in os.environ for name in {**SHORT_SPIN, **NO_SPIN}):
        os.environ.update(NO_SPIN if cores_are_busy() else SHORT_SPIN)


def cores_are_busy(samples: int = 5) -> bool:
    """Whether other processes run on half of the cores now; on systems without ``/proc``, False.

    The load average would not do: it counts what has ended, such as the step before this one of a demo.
    """
    running = 0
    try:
        for _ in range(samples):
            running += int(Path('/proc/loadavg').read_text().split()[3].partition('/')[0]) - 1  # without this one
            time.sleep(0.01)
    except (OSError, IndexError, ValueError):
        return False
    return running / samples >= 0.5 * (os.cpu_count() or 1)
