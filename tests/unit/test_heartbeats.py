"""Signs of life, over fakeredis: keys that expire are what it is faithful in."""

from collections.abc import Iterator

import fakeredis
import pytest

from pipeline.queue import Heartbeats


@pytest.fixture
def connection() -> Iterator[fakeredis.FakeRedis]:
    """Give an empty imitation of Redis."""
    with fakeredis.FakeRedis() as connection:
        yield connection


def test_a_live_worker_is_known_with_the_job_it_runs(connection: fakeredis.FakeRedis) -> None:
    """An idle one with none."""
    beats = Heartbeats(connection, lease_seconds=10)
    beats.beat("worker-1@host-1", ["b1", "b2"])
    beats.beat("worker-2@host-2", [])
    assert beats.running() == {"worker-1@host-1": ["b1", "b2"], "worker-2@host-2": []}


def test_a_heartbeat_expires_with_its_lease(connection: fakeredis.FakeRedis) -> None:
    """So a worker that was killed is soon taken for gone."""
    Heartbeats(connection, lease_seconds=10).beat("worker-1", ["b1"])
    (key,) = connection.keys()
    assert 0 < connection.ttl(key) <= 10
    connection.delete(key)
    assert Heartbeats(connection, lease_seconds=10).running() == {}


def test_a_worker_that_ends_says_so(connection: fakeredis.FakeRedis) -> None:
    """Its job is not waited for until the lease is over."""
    beats = Heartbeats(connection, lease_seconds=10)
    beats.beat("worker-1", ["b1"])
    beats.stop("worker-1")
    assert beats.running() == {}
