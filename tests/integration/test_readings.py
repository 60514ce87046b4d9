"""Readings in a real Redis: taken when it is time, bounded, and gone with a wipe."""

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis
from redis.exceptions import RedisError

from pipeline.clock import ManualClock
from pipeline.declarations import Lane
from pipeline.metrics import Counts
from pipeline.metrics.catalogue import EVENTS, INTAKE_EVENTS
from pipeline.queue import RINGS, JobQueue, Readings, totals
from pipeline.store import Batch
from tests.dashboards.visiting import wait_for
from tests.integration import sample_handlers
from tests.processes import environment_of
from workers.bootstrap import Application
from workers.metrics import Metrics
from workers.sweeper import take_reading

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR, DAY = RINGS["hour"], RINGS["day"]


@pytest.fixture
def readings(redis_server: Redis) -> Readings:
    """Give those of an empty Redis."""
    return Readings(redis_server)


def test_a_reading_is_what_stands_in_redis(readings: Readings, redis_server: Redis) -> None:
    """Counts of all processes, and the jobs that wait."""
    clock, counts = ManualClock(NOON), Counts()
    counts.add(EVENTS, ("tickets.apply", "done"), 5)
    counts.add(INTAKE_EVENTS, ("_other", "accepted"), 2)
    totals.flush(counts, redis_server)
    lanes = JobQueue(redis_server)
    lanes.enqueue([Batch.of("tickets.apply", [f"e{n}"], Lane.ACTIONS) for n in range(3)])
    assert readings.newest() is None
    assert readings.take(clock.now())
    (reading,) = readings.of(HOUR)
    assert readings.of(DAY) == [reading]
    assert reading.at == readings.newest() == clock.now().timestamp()
    assert (reading.counted["done"], reading.counted["accepted"]) == (5, 2)
    assert reading.waiting == {lane.value: 3 * (lane is Lane.ACTIONS) for lane in Lane}


def test_a_reading_is_taken_once_a_step_however_many_ask(readings: Readings) -> None:
    """As two sweepers do of which each believes that it leads."""
    clock = ManualClock(NOON)
    for _ in range(241):
        readings.take(clock.now())
        assert not readings.take(clock.now())
        clock.advance(timedelta(seconds=1))
    assert len(readings.of(HOUR)) == 25
    assert len(readings.of(DAY)) == 3


def test_a_ring_has_a_bound_and_an_end(readings: Readings, redis_server: Redis) -> None:
    """In readings, and in time: what nobody renews is gone after an hour or a day."""
    clock = ManualClock(NOON)
    for _ in range(400):
        readings.take(clock.now())
        clock.advance(timedelta(seconds=10))
    kept = readings.of(HOUR)
    assert len(kept) == 361
    assert kept[-1].at - kept[0].at == 3600
    for ring in RINGS.values():
        assert 0 < int(redis_server.ttl(ring.key)) <= ring.seconds


def test_a_clock_that_was_put_back_does_not_end_the_readings(readings: Readings) -> None:
    """They stand in the order of time all the same."""
    clock = ManualClock(NOON)
    readings.take(clock.now())
    clock.advance(timedelta(hours=-1))
    assert readings.take(clock.now())
    assert [one.at - clock.now().timestamp() for one in readings.of(HOUR)] == [0, 3600]


def test_after_a_wipe_the_course_begins_anew(readings: Readings, redis_server: Redis) -> None:
    """With the counts, which are kept in the same place."""
    clock = ManualClock(NOON)
    readings.take(clock.now())
    redis_server.flushall()
    assert readings.of(HOUR) == []
    clock.advance(timedelta(seconds=1))
    assert readings.take(clock.now())
    assert len(readings.of(HOUR)) == 1


def test_the_sweeper_takes_them(application_of: Callable[..., Application]) -> None:
    """The process, from its first pass on, without a port for metrics."""
    app = application_of(sample_handlers)
    with subprocess.Popen(
        [sys.executable, "-m", "workers", "sweeper"],
        env=environment_of(app, log_level="critical"),
    ) as sweeper:
        try:
            wait_for(lambda: app.readings.of(HOUR))
        finally:
            sweeper.terminate()
    assert len(app.readings.of(DAY)) == 1


def test_who_does_not_lead_takes_none(readings: Readings) -> None:
    """Or a reading would be there for each that stands by."""
    metrics = Metrics([])
    for leads, taken in ((False, 0), (True, 1)):
        metrics.tell(None, leads=leads)
        take_reading(readings, ManualClock(NOON), metrics)
        assert len(readings.of(HOUR)) == taken


def test_a_sweeper_outlives_a_redis_that_is_away() -> None:
    """What can't be noted is a gap."""
    away, metrics = Readings(Redis(port=1, socket_connect_timeout=1)), Metrics([])
    metrics.tell(None, leads=True)
    with pytest.raises(RedisError):
        away.take(NOON)
    take_reading(away, ManualClock(NOON), metrics)
