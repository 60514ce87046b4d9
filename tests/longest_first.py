"""Files of tests that take longest begin first, so that no process is alone with one at the end.

The others stay in the order that pytest-randomly draws.
"""

from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent

LONG: Final = (
    "faults/test_chaos_notices.py",
    "faults/test_crash_points.py",
    "acceptance/test_peers.py",
    "acceptance/test_bookings.py",
    "integration/test_late_report.py",
    "acceptance/test_disorder.py",
    "unit/test_prediction_model.py",
    "dashboards/test_browser.py",
    "acceptance/test_command_line.py",
    "acceptance/test_prometheus.py",
    "acceptance/test_bench.py",
    "acceptance/test_up.py",
    "acceptance/test_demo.py",
    "unit/test_replay_bookings.py",
    "unit/test_stock.py",
    "integration/test_bench_commands.py",
    "acceptance/test_growing.py",
    "integration/test_random_walk.py",
    "integration/test_embedded.py",
    "integration/test_supervisor.py",
)
"""By the processor time and the waiting of a run: pytest --durations=0 tells both."""

_RANKS: Final = {HERE / name: rank for rank, name in enumerate(LONG)}


def rank(file: Path) -> int:
    """Where a file stands in the order, from 0 for the longest."""
    return _RANKS.get(file, len(LONG))


def gone() -> list[str]:
    """What stands in the list and is no file any more."""
    return [str(file) for file in _RANKS if not file.is_file()]
