"""Tests whose lines others count already run without coverage, in their processes too.

To count lines takes up to four times as long as to run them, and slows down files as well that
are none of ours; where 240,000 events go through the same ten functions, nothing is learned.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

TOLD: Final = ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")
"""What tells a process that its lines are counted."""


@contextmanager
def uncounted() -> Iterator[None]:
    """Count no lines within the block; harmless where none are counted."""
    # Not by stopping and starting coverage, which would wrap os._exit once more each time.
    here, in_threads = sys.gettrace(), threading.gettrace()
    told = {name: os.environ.pop(name) for name in TOLD if name in os.environ}
    sys.settrace(None)
    threading.settrace(None)
    try:
        yield
    finally:
        os.environ.update(told)
        threading.settrace(in_threads)
        sys.settrace(here)
