"""How many OpenMP threads PyTorch has and how they wait for each other, which is decided when torch is imported.

By default libgomp's threads spin for milliseconds at each barrier. Beside other processes they take the cores from
the thread that they wait for: a training step becomes several times as slow. A short spin costs nothing where the
cores are free; where they are not, threads should sleep at once and be no more than the free cores. The figures are
under "Beside other processes" in docs/performance.md.
"""

import os
import sys
import time
from pathlib import Path

SHORT_SPIN = {'GOMP_SPINCOUNT': '10000'}  # turns of libgomp's loop, less than a millisecond
NO_SPIN = {'OMP_WAIT_POLICY': 'PASSIVE'}


def limit_threads() -> None:
    """Set how OpenMP's threads wait and, if half of the cores are taken, their number.

    Changes nothing if the environment says how they wait, or if torch has been imported already.
    """
    if 'torch' in sys.modules or any(name in os.environ for name in {**SHORT_SPIN, **NO_SPIN}):
        return
    free = free_cores()
    if free > (os.cpu_count() or 1) / 2:
        os.environ.update(SHORT_SPIN)
    else:
        os.environ.update(NO_SPIN)
        os.environ.setdefault('OMP_NUM_THREADS', str(max(1, round(free))))


def free_cores(samples: int = 5) -> float:
    """Return the number of cores on which no other process runs now; on systems without ``/proc``, of all cores.

    The load average would not do: it counts what has ended, such as the step before this one of a demo.
    """
    cores, running = os.cpu_count() or 1, 0
    try:
        for _ in range(samples):
            running += int(Path('/proc/loadavg').read_text().split()[3].partition('/')[0]) - 1  # without this one
            time.sleep(0.01)
    except (OSError, IndexError, ValueError):
        return cores
    return cores - running / samples
