"""How PyTorch's OpenMP threads wait for each other, which is decided when torch is imported.

By default libgomp's threads spin for milliseconds at each barrier. Beside other processes they take the cores from
the thread that they wait for: a training step becomes several times as slow. A short spin costs nothing where the
cores are free. The figures are under "Beside other processes" in docs/performance.md.
"""

import os
import sys

SPINS = 10_000  # turns of libgomp's loop, about 0.1 ms
WAITING = ('GOMP_SPINCOUNT', 'OMP_WAIT_POLICY')


def limit_spinning() -> None:
    """Set ``GOMP_SPINCOUNT`` unless the environment says how threads wait, or torch has been imported already."""
    if 'torch' not in sys.modules and not any(name in os.environ for name in WAITING):
        os.environ['GOMP_SPINCOUNT'] = str(SPINS)
