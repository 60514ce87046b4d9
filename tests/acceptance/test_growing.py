"""A store that grows: what is measured of it."""

from pathlib import Path

import pytest
import redis

from benchmarks.bench import Bench
from benchmarks.growing import growing
from benchmarks.results import Run
from benchmarks.spec import Spec
from benchmarks.workload import SYNTHETIC, Workload
from pipeline.settings import Settings
from workers.bootstrap import Servers

pytestmark = pytest.mark.uncounted

EVENTS = 2_000


def test_backlogs_are_worked_off_at_the_start_in_between_and_at_the_end(
    mongo_url: str, redis_url: str, redis_server: redis.Redis, tmp_path: Path
) -> None:
    """All events are stored then, and shares are those of the rates that are told."""
    spec = Spec(workload=Workload(source=SYNTHETIC, events=EVENTS))
    bench = Bench(Settings(data_dir=tmp_path), Servers(mongo_url, redis_url))
    seen: set[str] = set()
    found = Run(scenario="growth", **growing(bench, spec, lambda what, _: seen.add(what)))
    figures = found.figures
    assert figures["stored"] == found.events == EVENTS
    assert seen == {"growing", "waiting", "working off"}
    for name in ("at_start", "queued", "at_end"):
        assert figures[f"{name}_per_s"] > 0
        assert figures[f"{name}_cpu_us"] >= 0  # so few are over before it is looked at
    share = figures["at_end_per_s"] / figures["at_start_per_s"]
    assert figures["to_start"] == pytest.approx(share, rel=0.05)  # of rates that are rounded
    assert figures["stored_mib"] > 0
