"""RQ's registries of failed and scheduled jobs show what waits, and are back after a wipe."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from redis import Redis
from rq.job import Job
from rq.registry import FailedJobRegistry

from pipeline import Event, Snooze, Update, action, inc, shelving
from pipeline.declarations import Commutative
from pipeline.store import LedgerState
from tests.facts import Document, fact
from tests.integration.harness import NOW
from tests.integration.letters import Letters, fetch, job_of, tickets
from tests.integration.sample_handlers import broken

HOUR = timedelta(hours=1)
MONTH = timedelta(days=30)


@pytest.fixture
def pipeline(
    mongo: MongoClient[Document], database: Database[Document], redis_server: Redis
) -> Iterator[Letters]:
    """Give a pipeline whose handlers give up after two attempts."""
    broken.clear()
    yield Letters(mongo, database.name, redis_server, max_attempts=2)
    broken.clear()


def rq(*arguments: str) -> str:
    """Run RQ's own command line to its end; what it said."""
    command = Path(sys.executable).with_name("rq")
    done = subprocess.run(
        [command, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def requeue_with_rq(url: str, *jobs: str) -> str:
    """`rq requeue`, as a person gives it."""
    serializer = ("-S", "rq.serializers.JSONSerializer")
    return rq("requeue", "-u", url, *serializer, "--queue", "actions", *(jobs or ("--all",)))


def told_of(pipeline: Letters, job_id: str) -> str:
    """What RQ's tools show as the reason of a failure."""
    job = fetch(pipeline.redis, job_id)
    assert job is not None
    result = job.latest_result()
    assert result is not None
    return str(result.exc_string)


def test_dead_letters_are_requeued_by_rqs_own_command(pipeline: Letters, redis_url: str) -> None:
    """All of a queue; each gets one attempt, and its observers follow."""
    events = tickets(3)
    pipeline.bury(*events)
    broken.clear()
    assert "Requeueing 3 jobs" in requeue_with_rq(redis_url)
    assert pipeline.failed() == set()
    pipeline.work()
    assert {state for event in events for state in pipeline.states(event).values()} == {"done"}
    assert (pipeline.letters(), pipeline.failed()) == ([], set())


def test_a_single_dead_letter_is_requeued_by_rqs_own_command(
    pipeline: Letters, redis_url: str
) -> None:
    """The others stay; one that fails again is back, with the new attempt counted."""
    events = tickets(3)
    pipeline.bury(*events)
    broken.discard(("tickets.apply", "e1"))
    requeue_with_rq(redis_url, job_of(events[1]), job_of(events[2]))
    pipeline.work()
    assert pipeline.failed() == {job_of(events[0]), job_of(events[2])}
    assert pipeline.states(events[1])["tickets.apply"] == "done"
    assert [pipeline.row(e, "tickets.apply").attempt for e in (events[0], events[2])] == [2, 3]


def test_the_failed_registry_is_back_after_a_wipe(pipeline: Letters, redis_url: str) -> None:
    """With the causes; and what is requeued from there by RQ is run."""
    events = tickets(3)
    pipeline.bury(*events)
    before = pipeline.failed()
    pipeline.redis.flushall()
    assert pipeline.failed() == set()
    assert pipeline.sweep().shown == 3
    assert pipeline.failed() == before == {job_of(event) for event in events}
    assert "told to fail on e1" in told_of(pipeline, job_of(events[1]))
    assert "sample_handlers" in told_of(pipeline, job_of(events[1]))
    broken.clear()
    requeue_with_rq(redis_url)
    pipeline.work()
    assert {pipeline.states(event)["tickets.apply"] for event in events} == {"done"}


def test_delayed_work_is_shown_and_done_in_its_time_after_a_wipe(pipeline: Letters) -> None:
    """An event that waits for a retry is a scheduled job again, at the moment it had."""
    event = fact("e1")
    broken.add(("tickets.apply", "e1"))
    pipeline.submit(event)
    pipeline.work()
    (due,) = due_times(pipeline)
    pipeline.redis.flushall()
    assert pipeline.sweep().shown == 1
    assert pipeline.scheduled() == {job_of(event)}
    shown_at = pipeline.redis.zscore("rq:scheduled:actions", job_of(event))
    assert shown_at == due.timestamp()
    assert "told to fail on e1" in told_of(pipeline, job_of(event))
    broken.clear()
    assert pipeline.sweep(after=HOUR).enqueued == 1
    assert pipeline.scheduled() == set()
    pipeline.work()
    assert pipeline.states(event)["tickets.apply"] == "done"


def due_times(pipeline: Letters) -> list[datetime]:
    """When the batches that wait are due."""
    found = pipeline.store.database["batches"].find({"due_at": {"$exists": True}})
    return [batch["due_at"] for batch in found]


def sleeper() -> Commutative:
    """An action that puts every event off by a day."""

    @action("naps.count", on="nap.*", table="naps", key="{tenant}")
    def count_nap(event: Event) -> Update:
        if event.payload["awake"]:
            return inc(naps=1)
        raise Snooze(NOW + timedelta(days=1), "it sleeps")

    assert isinstance(count_nap, Commutative)
    return count_nap


def test_a_snoozed_event_is_shown_again_after_a_wipe(
    mongo: MongoClient[Document], database: Database[Document], redis_server: Redis
) -> None:
    """With the reason its handler gave."""
    pipeline = Letters(mongo, database.name, redis_server, handlers=[sleeper()])
    event = fact("n1", type="nap.taken", awake=False)
    pipeline.submit(event)
    pipeline.work()
    pipeline.redis.flushall()
    assert pipeline.sweep().shown == 1
    assert pipeline.scheduled() == {job_of(event, "naps.count")}
    assert told_of(pipeline, job_of(event, "naps.count")) == "Snooze: it sleeps"


def test_a_pass_that_has_nothing_to_do_asks_redis_once(
    pipeline: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MongoDB not at all, until a wipe or a minute is over."""
    pipeline.bury(fact("e1"))
    pipeline.sweep()
    shelver = shelving.Shelver(pipeline.store, pipeline.lanes, pipeline.clock)
    monkeypatch.setattr(pipeline.store, "records", None)
    calls = commands(pipeline.redis)
    assert shelver.look() == 0
    assert commands(pipeline.redis) - calls == 2  # one for the count itself


def commands(redis: Redis) -> int:
    """How many commands Redis has run."""
    return int(redis.info("stats")["total_commands_processed"])


def test_the_shelves_are_looked_through_again_after_a_while(pipeline: Letters) -> None:
    """The note that they need no look goes away by itself, as a job does that RQ forgets."""
    event = fact("e1")
    pipeline.bury(event)
    pipeline.sweep()
    assert 0 < pipeline.redis.ttl("pipeline:shelves") <= shelving.REST_SECONDS
    pipeline.redis.delete(Job.key_for(job_of(event)), "rq:failed:actions")
    assert pipeline.sweep().shown == 0
    pipeline.redis.delete("pipeline:shelves")
    assert pipeline.sweep().shown == 1
    assert pipeline.failed() == {job_of(event)}


def test_many_letters_are_shown_again_page_by_page(
    pipeline: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each pass is bounded, and the next one goes on; in every state."""
    monkeypatch.setattr(shelving, "PAGE", 2)
    events = tickets(5)
    pipeline.bury(*events)
    late = fact("late", entity_id="T9")
    broken.add(("tickets.apply", "late"))
    pipeline.submit(late)
    pipeline.work()
    pipeline.redis.flushall()
    assert [pipeline.sweep().shown for _ in range(5)] == [2, 2, 2, 0, 0]
    assert pipeline.failed() == {job_of(event) for event in events}
    assert pipeline.scheduled() == {job_of(late)}


def test_a_wipe_in_the_middle_of_a_look_begins_it_anew(
    pipeline: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was looked at before the wipe is not forgotten for a minute."""
    monkeypatch.setattr(shelving, "PAGE", 2)
    events = tickets(3)
    pipeline.bury(*events)
    pipeline.redis.flushall()
    assert pipeline.sweep().shown == 2
    pipeline.redis.flushall()
    assert [pipeline.sweep().shown for _ in range(2)] == [2, 1]
    assert pipeline.failed() == {job_of(event) for event in events}


def test_of_two_sweepers_one_looks(pipeline: Letters, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one takes over when the first is gone."""
    monkeypatch.setattr(shelving, "PAGE", 2)
    pipeline.bury(*tickets(3))
    pipeline.redis.flushall()
    first, second = (
        shelving.Shelver(pipeline.store, pipeline.lanes, pipeline.clock) for _ in range(2)
    )
    assert (first.look(), second.look()) == (2, 0)
    pipeline.redis.delete("pipeline:shelves")
    assert [second.look() for _ in range(3)] == [0, 1, 0]


def test_what_is_on_its_way_is_not_put_on_a_shelf(pipeline: Letters, redis_url: str) -> None:
    """A letter that RQ has requeued is dead until it was run, and waits in its lane."""
    event = fact("e1")
    pipeline.bury(event)
    requeue_with_rq(redis_url)
    pipeline.redis.delete("pipeline:shelves")
    assert pipeline.row(event, "tickets.apply").state is LedgerState.DEAD
    assert pipeline.sweep().shown == 0
    assert pipeline.failed() == set()


def test_what_is_due_is_enqueued_and_not_shown_as_waiting(pipeline: Letters) -> None:
    """Also where a wipe has taken both its job and its entry."""
    event = fact("e1")
    broken.add(("tickets.apply", "e1"))
    pipeline.submit(event)
    pipeline.work()
    pipeline.redis.flushall()
    pipeline.clock.advance(HOUR)
    assert shelving.Shelver(pipeline.store, pipeline.lanes, pipeline.clock).look() == 0
    pipeline.redis.flushall()
    swept = pipeline.sweep()
    assert (swept.enqueued, swept.shown) == (1, 0)
    assert (pipeline.scheduled(), pipeline.failed()) == (set(), set())


def test_a_letter_that_died_in_a_heal_is_shown_too(
    mongo: MongoClient[Document], database: Database[Document], redis_server: Redis
) -> None:
    """RQ was not told of it: it has never been a job of its own."""
    pipeline = Letters(mongo, database.name, redis_server, max_attempts=1)
    pipeline.process(fact("e2", 2, owner="ann"))
    broken.add(("owners.count", "e2"))
    pipeline.process(fact("e1", 1, status="late"))
    assert pipeline.states(fact("e2"))["owners.count"] == "dead"
    assert pipeline.failed() == set()
    assert pipeline.sweep().shown == 1
    assert pipeline.failed() == {job_of(fact("e2"), "owners.count")}


def test_what_a_person_deletes_in_rq_is_shown_again(pipeline: Letters) -> None:
    """Redis decides nothing; to give an event up is a decision, with a reason."""
    event = fact("e1")
    pipeline.bury(event)
    pipeline.sweep()
    job = fetch(pipeline.redis, job_of(event))
    assert job is not None
    job.delete()
    pipeline.redis.delete("pipeline:shelves")
    assert pipeline.sweep().shown == 1
    assert pipeline.failed() == {job_of(event)}


def test_rq_forgets_a_failed_job_in_the_end_and_is_told_again(pipeline: Letters) -> None:
    """Entry and job live as long as each other."""
    event = fact("e1")
    pipeline.bury(event)
    entry = pipeline.redis.zscore(f"rq:failed:{'actions'}", job_of(event))
    assert entry is not None
    left = entry - datetime.now(NOW.tzinfo).timestamp()
    life = pipeline.redis.ttl(Job.key_for(job_of(event)))
    assert abs(left - life) < 60
    assert abs(life - MONTH.total_seconds()) < 60
    assert FailedJobRegistry("actions", connection=pipeline.redis).get_job_count(cleanup=False)
