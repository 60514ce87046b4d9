"""Where runs of the benchmark are made: one after the other on the same servers."""

from pathlib import Path

import pytest
import redis

from benchmarks.bench import Bench
from benchmarks.places import PlaceTakenError
from benchmarks.warming import warm_up
from pipeline.declarations import Lane
from pipeline.settings import Settings
from pipeline.slots import Part
from pipeline.store import Batch
from pipeline.verification import report_of
from workers.bootstrap import Servers

LEFT = Batch.of("pipeline.verify", ("one",), Lane.REPAIR)


@pytest.fixture
def bench(mongo_url: str, redis_url: str, redis_server: redis.Redis, tmp_path: Path) -> Bench:
    """Give the session's servers to be measured on."""
    return Bench(Settings(data_dir=tmp_path), Servers(mongo_url, redis_url))


def test_what_a_run_leaves_in_the_lanes_is_gone_for_the_next(bench: Bench) -> None:
    """A verification that was begun meanwhile is nobody's any more."""
    with bench.fresh() as app:
        assert app.queue.enqueue([LEFT])
        name = app.settings.database
    with bench.fresh() as app:
        assert not any(app.queue.lengths().values())
        assert name not in app.store.database.client.list_database_names()


def test_what_a_killed_worker_leaves_is_gone_for_the_next_run(bench: Bench) -> None:
    """Its sign of life, and its leases, which end by themselves only after a while."""
    with bench.fresh() as app:
        app.heartbeats.beat("worker-1@here-17", ["a job"])
        assert not app.locks.take(["an id"], "its run", ttl_ms=60_000).busy
    with bench.fresh() as app:
        assert not list(app.redis.scan_iter("pipeline:*"))


def test_a_verification_that_was_begun_while_workers_warmed_up_comes_to_its_end(
    bench: Bench,
) -> None:
    """What the warm-up forgets is its own, and not the work of a sample."""
    with bench.fresh() as app:
        verifier = app.verifier("worker")
        name, batches = verifier.begin(Part(0, 256))
        warm_up(app, 0, lambda: None)
        for batch in batches:
            verifier.run(batch)
        assert report_of(app.store, name, limit=1).ended_at is not None


def test_jobs_of_another_pipeline_are_left_alone(bench: Bench) -> None:
    """The run is refused, since its workers would take them."""
    with bench.fresh() as other:
        assert other.queue.enqueue([LEFT])
        with pytest.raises(PlaceTakenError, match="another pipeline"), bench.fresh():
            raise AssertionError
        assert other.queue.lengths()[Lane.REPAIR] == 1
