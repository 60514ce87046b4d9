"""The background verification, and what Prometheus is told of it."""

import socket
import urllib.request
from collections.abc import Iterator
from datetime import timedelta

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from redis import Redis

from pipeline.clock import SystemClock
from pipeline.declarations import Lane
from pipeline.errors import Unavailable
from pipeline.locks import Locks
from pipeline.metrics import Counts
from pipeline.metrics.own import own_registry, serve
from pipeline.queue import JobQueue
from pipeline.store.verifications import SAMPLE
from pipeline.verification import Drift, Sampler
from tests.facts import Document
from tests.integration.sample_handlers import broken
from tests.integration.verifying import Verifying, told
from workers.metrics import Metrics
from workers.sweeper import Leader, go_round

PERIOD = timedelta(seconds=60)


class Sampling(Verifying):
    """A pipeline that samples itself every minute."""

    def __init__(self, client: MongoClient[Document], name: str, redis: Redis) -> None:
        super().__init__(client, name, max_attempts=2, sample_interval=PERIOD.total_seconds())
        self.lanes = JobQueue(redis)
        self.sampler = Sampler(self.store, self.verifier, self.lanes, self.clock, self.settings)

    def sample(self) -> Drift | None:
        """Let the sweeper look, a worker do what it began, and the sweeper look again."""
        self.sampler.look()
        while batches := self.store.records.batches.due(self.clock.now() + PERIOD, 100):
            for batch in batches:
                assert batch.lane == Lane.REPAIR
                self.verifier.run(batch)
        return self.sampler.look()

    def scopes(self) -> list[str]:
        """The parts that were looked at, the last first."""
        return [one.scope for one in self.store.records.verifications.newest(20, SAMPLE)]


@pytest.fixture
def pipeline(
    mongo: MongoClient[Document],
    database: Database[Document],
    redis_server: Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Sampling]:
    """Give a pipeline in which a story has happened, and that is sampled in two parts."""
    broken.clear()
    monkeypatch.setattr("pipeline.verification.sampling.PARTS", 2)
    pipeline = Sampling(mongo, database.name, redis_server)
    told(pipeline)
    yield pipeline
    broken.clear()


def test_part_after_part_is_looked_at_each_when_its_time_has_come(pipeline: Sampling) -> None:
    """And never two at once."""
    pipeline.sampler.look()
    pipeline.clock.advance(PERIOD * 5)
    pipeline.sampler.look()
    assert pipeline.scopes() == ["0/2"]
    assert pipeline.lanes.lengths()["repair"] == 1
    pipeline.sample()
    for _ in range(2):
        pipeline.clock.advance(PERIOD)
        pipeline.sample()
    assert pipeline.scopes() == ["1/2", "0/2", "1/2", "0/2"]


def test_what_drifted_is_told_by_table(pipeline: Sampling) -> None:
    """A document and its rows of a part; nothing of the other part."""
    database = pipeline.store.database
    database.tickets.update_many({}, {"$set": {"status": "drifted"}})
    found = pipeline.sample()
    assert found is not None
    assert found.part == "0/2"
    assert set(found.wrong) == {"tickets"}
    assert 0 < found.wrong["tickets"] < database.tickets.count_documents({})


def test_prometheus_sees_the_drift(pipeline: Sampling) -> None:
    """As gauges, by table; a table that is right has a zero."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    metrics = Metrics(pipeline.registry.tables())
    serve(own_registry("sweeper", metrics), "127.0.0.1", port)
    metrics.tell(None, leads=True)
    metrics.tell(Drift("0/2", 30, {"tickets": 2}, 1), leads=True)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        said = answer.read().decode()
    assert 'pipe_drift_documents{table="tickets"} 2.0' in said
    assert 'pipe_drift_documents{table="owner_totals"} 0.0' in said
    assert "pipe_drift_unknown 1.0" in said
    assert "pipe_drift_sampled_documents 30.0" in said
    with pytest.raises(Unavailable, match="PIPELINE_METRICS_PORT"):
        serve(own_registry("sweeper"), "127.0.0.1", port)


def test_who_does_not_lead_any_more_shows_nothing(pipeline: Sampling, redis_server: Redis) -> None:
    """What another sweeper finds meanwhile would stand beside what this one found long ago."""
    pipeline.sample()
    leader = Leader(Locks(redis_server, SystemClock()), "one", 1.0)
    sweeper = pipeline.sweeper_of(redis_server)
    metrics = Metrics(pipeline.registry.tables())
    go_round(leader, sweeper, pipeline.sampler, metrics, Counts())
    shown = [family.name for family in metrics.collect()]
    assert shown == [
        "pipe_drift_documents",
        "pipe_drift_unknown",
        "pipe_drift_sampled_documents",
        "pipe_drift_last_sample_timestamp_seconds",
    ]
    redis_server.flushall()
    assert Leader(Locks(redis_server, SystemClock()), "two", 1.0).leads()
    go_round(leader, sweeper, pipeline.sampler, metrics, Counts())
    assert list(metrics.collect()) == []


def test_a_sample_that_never_ends_keeps_no_other_from_its_turn(pipeline: Sampling) -> None:
    """It is told that nothing could be told, and the next part is looked at."""
    pipeline.sampler.look()
    pipeline.clock.advance(timedelta(hours=6))
    pipeline.sampler.look()
    found = pipeline.sampler.look()
    assert found is not None
    assert (found.unknown, found.documents) == (1, 0)
    assert pipeline.scopes() == ["1/2", "0/2"]
    pipeline.sample()
    assert all(one.ended_at for one in pipeline.store.records.verifications.newest(20, SAMPLE))


def test_without_an_interval_nothing_is_sampled(
    pipeline: Sampling, mongo: MongoClient[Document], redis_server: Redis
) -> None:
    """It can be switched off."""
    off = Verifying(mongo, pipeline.store.database.name, sample_interval=0)
    lanes = JobQueue(redis_server)
    assert Sampler(off.store, off.verifier, lanes, off.clock, off.settings).look() is None
    assert pipeline.scopes() == []
