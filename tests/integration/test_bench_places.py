"""Where runs of the benchmark are made: one after the other on the same servers."""

from pathlib import Path

import pytest
import redis

from benchmarks.bench import Bench
from benchmarks.places import PlaceTakenError
from pipeline.declarations import Lane
from pipeline.settings import Settings
from pipeline.store import Batch
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


def test_jobs_of_another_pipeline_are_left_alone(bench: Bench) -> None:
    """The run is refused, since its workers would take them."""
    with bench.fresh() as other:
        assert other.queue.enqueue([LEFT])
        with pytest.raises(PlaceTakenError, match="another pipeline"), bench.fresh():
            raise AssertionError
        assert other.queue.lengths()[Lane.REPAIR] == 1
