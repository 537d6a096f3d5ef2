"""Work that takes long and has no progress bar of its own."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

EVERY = 15.0  # seconds


@contextmanager
def announced(what: str) -> Iterator[None]:
    """Print what begins, and every 15 seconds for how long it has been going on."""
    print(what, flush=True)
    began, ended = time.monotonic(), threading.Event()
    screen = sys.stdout  # the work may redirect its own output

    def report() -> None:
        while not ended.wait(EVERY):
            print(f'    ... for {time.monotonic() - began:.0f} s', file=screen, flush=True)

    thread = threading.Thread(target=report, daemon=True)
    try:
        thread.start()
        yield
    finally:
        ended.set()
        thread.join()
