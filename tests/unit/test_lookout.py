"""A lookout that nobody has to wait for."""

import queue
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from redis.exceptions import ConnectionError as NoRedis

from pipeline.clock import ManualClock
from workers import lookout as module
from workers.lookout import Lookout

PATIENCE = 30.0


class Servers:
    """What a look finds, as a test says; a look waits until the test has said it."""

    def __init__(self) -> None:
        self.answers: queue.Queue[object] = queue.Queue()
        self.asked = threading.Semaphore(0)

    def look(self) -> object:
        """Take a look."""
        self.asked.release()
        answer = self.answers.get(timeout=PATIENCE)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def answer(self, answer: object) -> None:
        """Answer the look under way and wait until the next one has begun."""
        assert self.asked.acquire(timeout=PATIENCE)
        self.answers.put(answer)
        assert self.asked.acquire(timeout=PATIENCE)
        self.asked.release()


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Servers]:
    """Give servers that are looked at without a pause; the last look gets its answer."""
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)
    servers = Servers()
    yield servers
    servers.answers.put("the end")


@pytest.fixture
def clock() -> ManualClock:
    """Give a clock that stands still."""
    return ManualClock(datetime(2024, 1, 1, tzinfo=UTC))


def test_the_latest_look_is_there_and_nobody_waits_for_the_next(
    servers: Servers, clock: ManualClock
) -> None:
    """A look that hangs leaves what was seen before."""
    with Lookout(servers.look, clock) as lookout:
        assert lookout.latest is None
        servers.answer("first")
        assert lookout.latest == "first"
        servers.answer("second")
        assert (lookout.latest, lookout.error) == ("second", "")
        servers.answers.put("third")


def test_a_failed_look_is_told_and_a_later_one_makes_it_good(
    servers: Servers, clock: ManualClock
) -> None:
    """What was seen before stays."""
    with Lookout(servers.look, clock) as lookout:
        servers.answer("first")
        servers.answer(NoRedis("gone"))
        assert (lookout.latest, lookout.error) == ("first", "gone")
        servers.answer("second")
        assert (lookout.latest, lookout.error) == ("second", "")
        servers.answers.put("third")


def test_silence_grows_until_a_look_succeeds(servers: Servers, clock: ManualClock) -> None:
    """Neither a failure nor a look under way ends it."""
    with Lookout(servers.look, clock) as lookout:
        clock.advance(timedelta(seconds=5))
        assert lookout.silence() == 5
        servers.answer(NoRedis("gone"))
        clock.advance(timedelta(seconds=2))
        assert lookout.silence() == 7
        servers.answer("there")
        assert lookout.silence() == 0
        servers.answers.put("still there")


def test_a_look_that_hangs_does_not_hold_up_the_end(
    servers: Servers, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread is left to itself and keeps no process alive."""
    monkeypatch.setattr(module, "JOIN_SECONDS", 0.0)
    with Lookout(servers.look, clock):
        assert servers.asked.acquire(timeout=PATIENCE)
    (thread,) = (t for t in threading.enumerate() if t.name == "lookout")
    assert thread.daemon
    servers.answers.put("late")
    thread.join(PATIENCE)
