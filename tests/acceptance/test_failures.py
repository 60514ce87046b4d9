"""Handlers that fail in a measured run: what comes of it is what was declared."""

from pathlib import Path

import pytest
import redis

from benchmarks.bench import Bench
from benchmarks.criteria import nothing_lost
from benchmarks.failing import Failing
from benchmarks.product import measure
from benchmarks.results import Run
from benchmarks.spec import Spec
from benchmarks.workload import SYNTHETIC, Workload, in_order
from pipeline.settings import Settings
from workers.bootstrap import Servers

pytestmark = pytest.mark.uncounted


def test_what_failed_is_counted_and_exactly_what_never_succeeds_is_given_up(
    mongo_url: str, redis_url: str, redis_server: redis.Redis, tmp_path: Path
) -> None:
    """In worker processes, with retries by whichever of them is free."""
    failing = Failing(rate=0.2, permanent=0.01, attempts=3)
    workload = Workload(source=SYNTHETIC, events=1_000)
    spec = Spec(workload=workload, failing=failing, judged=True)
    bench = Bench(Settings(data_dir=tmp_path), Servers(mongo_url, redis_url))
    found = Run(scenario="failures", **measure(bench, spec, lambda _what, _done: None))
    fails = [failing.failures(event.key) for event in in_order(workload)]
    reliability = found.reliability
    assert reliability.dead == reliability.doomed == fails.count(3) > 5
    assert reliability.errors is not None
    # Where a machine is so slow that one attempt counts twice, fewer fail; never more.
    assert 0.8 * sum(fails) <= reliability.errors <= sum(fails)
    assert reliability.retries == reliability.errors - reliability.dead
    assert (reliability.lost, reliability.doubled, reliability.wrong) == (0, 0, 0)
    assert nothing_lost(found)
