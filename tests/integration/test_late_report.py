"""With known disorder injected, the report says just that: nothing missing, nothing made up."""

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from pipeline.disorder import Mark
from pipeline.event import Event
from pipeline.lateness import Count, Spread, costs, counts, find, spread
from pipeline.store import Among
from pipeline.store.policies import HoldPolicies, Scope
from tests.facts import Document, fact
from tests.integration import numbered_handlers
from tests.integration.harness import NOW, Harness
from tests.integration.injection import (
    HANDLERS,
    TENANTS,
    Injection,
    Truth,
    as_truth,
    injected,
    reported,
)
from tests.integration.test_disorder import parts
from tests.processes import environment_of
from workers.bootstrap import Application

pytestmark = pytest.mark.uncounted

PATIENCE = 120.0  # seconds until what must come is taken not to
WORKERS = 2
BATCH = 3


def numbered(client: MongoClient[Document], name: str, **settings: object) -> Harness:
    """Give a pipeline with folds whose events are numbered."""
    return Harness(client, name, numbered_handlers.ALL, **settings)


@pytest.fixture
def steps(mongo: MongoClient[Document], database: Database[Document]) -> Harness:
    """Give such a pipeline with batches of any size."""
    return numbered(mongo, database.name)


def precision_and_recall(injection: Injection, told: Truth) -> tuple[float, float]:
    """Of what is told, how much was injected; of what was injected, how much is told."""
    right = len(injection.truth.items() & told.items())
    return right / len(told), right / len(injection.truth)


def expected_counts(injection: Injection) -> list[Count]:
    """The counts by the injection alone."""
    found = []
    for tenant in TENANTS:
        if injection.copies[tenant]:
            found.append(Count(tenant, None, duplicates=injection.copies[tenant]))
        for handler in sorted(HANDLERS.values()):
            mine = [
                (mark, late_ms)
                for (key, of), (mark, late_ms, _) in injection.truth.items()
                if of == handler and key.endswith(f"@{tenant}/desk")
            ]
            if mine:
                how_many = Counter(mark for mark, _ in mine)
                late = [late_ms or 0 for mark, late_ms in mine if mark == "late"]
                found.append(Count(tenant, handler, **how_many, lateness=spread(late)))
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [1, 7, 500])
def test_the_report_is_the_injection_whatever_the_size_of_batches(
    mongo: MongoClient[Document], database: Database[Document], seed: int, size: int
) -> None:
    """Precision and recall are 1: each event with its mark, its lateness and the other event."""
    injection = injected(seed)
    harness = numbered(mongo, database.name, batch_size=size)
    draw = random.Random(seed)
    for part in parts(injection.arrivals, draw):
        harness.submit(*part)
        if draw.random() < 0.3:
            harness.drain()
    harness.drain()
    told = as_truth(reported(harness.store))
    assert len(injection.truth) > 50
    assert {mark for mark, _, _ in injection.truth.values()} == {"late", "tie", "gap"}
    assert precision_and_recall(injection, told) == (1.0, 1.0)
    assert told == injection.truth
    assert counts(harness.store) == expected_counts(injection)


def test_batches_that_are_run_together_are_reported_alike(steps: Harness) -> None:
    """Small ones of one handler, as a worker takes them."""
    injection = injected(5, kinds=("step",))
    for event in injection.arrivals:
        steps.submit(event)
    while steps.waiting:
        together = [steps.waiting.popleft() for _ in range(min(20, len(steps.waiting)))]
        for handler in dict.fromkeys(batch.handler for batch in together):
            steps.run(*(batch for batch in together if batch.handler == handler))
    assert as_truth(reported(steps.store)) == injection.truth


@pytest.fixture
def app(application_of: Callable[..., Application]) -> Application:
    """Give an application on RQ whose handler keeps the order of the queue, in small batches."""
    return application_of(numbered_handlers, batch_size=BATCH)


@contextmanager
def workers(app: Application) -> Iterator[None]:
    """Let two worker processes run."""
    environ = environment_of(app, batch_size=BATCH)
    with ExitStack() as stack:
        for number in range(WORKERS):
            command = [sys.executable, "-m", "workers", "worker", "--name", f"worker-{number}"]
            worker = subprocess.Popen(
                command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            stack.callback(worker.wait)
            stack.callback(worker.kill)
        yield


def send(app: Application, injection: Injection) -> None:
    """Submit all that comes in parts of any size, and wait until workers have done it."""
    for part in parts(injection.arrivals, random.Random(0)):
        app.dispatcher.submit(part)
    end = time.monotonic() + PATIENCE
    while not app.store.records.batches.idle():
        assert time.monotonic() < end, app.store.records.batches.backlog()
        time.sleep(0.05)


def test_workers_of_a_handler_that_keeps_the_order_report_the_injection(app: Application) -> None:
    """Two processes take jobs at once, and no event overtakes another of its document."""
    injection = injected(11, kinds=("line",), events=600)
    with workers(app):
        send(app, injection)
    told = as_truth(reported(app.store))
    assert precision_and_recall(injection, told) == (1.0, 1.0)
    assert told == injection.truth


def test_workers_with_a_grace_have_nothing_to_report(app: Application) -> None:
    """What comes before its predecessor waits for it, in two processes that know the grace."""
    injection = injected(12, kinds=("line",), events=600, lost=False)
    HoldPolicies(app.store.database).change(Scope(None, None), {"grace_ms": 600_000}, NOW)
    with workers(app):
        send(app, injection)
    assert len(injection.truth) > 50
    assert list(reported(app.store)) == []
    found = costs(app.store)
    assert sum(one.by_predecessor for one in found) >= len(injection.truth) // 2
    assert [(one.waiting, one.by_grace) for one in found] == [(0, 0)] * len(found)


def late_by(minutes: float, name: str, **fields: object) -> Event:
    """An event that comes so long after the one at noon."""
    return fact(name, -minutes, type="note.taken", **fields)


def test_the_report_can_be_asked_by_tenant_handler_mark_and_time(steps: Harness) -> None:
    """All filters that are given hold."""
    for tenant in ("acme", "beta"):
        steps.process(fact("new", type="note.taken", tenant=tenant))
        steps.process(late_by(1, "late", tenant=tenant), late_by(0, "tie", tenant=tenant))
    steps.clock.advance(timedelta(hours=1))
    steps.process(fact("s1", 1, type="step.taken", seq=1))

    def asked(**filters: object) -> list[str]:
        found = find(steps.store, Among(**filters), newest_first=False).findings  # type: ignore[arg-type]
        return [one.row.event.partition("/")[0] for one in found]

    assert asked() == ["late@acme", "late@beta", "tie@acme", "tie@beta", "s1@acme"]
    assert asked(tenant="acme") == ["late@acme", "tie@acme", "s1@acme"]
    assert asked(handler="notes.apply", tenant="beta") == ["late@beta", "tie@beta"]
    assert asked(mark=Mark.TIE) == ["tie@acme", "tie@beta"]
    assert asked(since=NOW + timedelta(minutes=1)) == ["s1@acme"]
    assert asked(until=NOW + timedelta(minutes=1), mark=Mark.LATE) == ["late@acme", "late@beta"]
    assert asked(mark=Mark.GAP, tenant="beta") == []


def test_a_finding_tells_both_events_and_what_was_folded_again(steps: Harness) -> None:
    """Two rows came after the late one."""
    steps.process(*(fact(f"n{minute}", minute, type="note.taken") for minute in (1, 3, 5)))
    steps.process(fact("n2", 2, type="note.taken"))
    (found,) = find(steps.store).findings
    assert found.event is not None
    assert found.seen is not None
    assert (found.event.event.event_id, found.seen.event.event_id) == ("n2", "n5")
    assert (found.disorder.late_ms, found.disorder.refolded) == (3 * 60_000, 2)
    assert found.row.key == "acme:T1"


def test_what_came_late_within_its_batch_has_healed_nothing(steps: Harness) -> None:
    """It was applied in its place from the start."""
    steps.process(fact("n2", 2, type="note.taken"), fact("n1", 1, type="note.taken"))
    (found,) = find(steps.store).findings
    assert (found.row.event, found.disorder.refolded) == ("n1@acme/desk", 0)


def test_only_what_is_earlier_than_the_stored_document_is_said_to_have_healed(
    steps: Harness,
) -> None:
    """Of a batch of an event in order, one late within the batch, and one late for the rest."""
    steps.process(*(fact(f"n{minute}", minute, type="note.taken") for minute in (1, 5)))
    steps.process(*(fact(f"n{minute}", minute, type="note.taken") for minute in (9, 7, 3)))
    found = find(steps.store, newest_first=False).findings
    assert [(one.row.event, one.disorder.refolded) for one in found] == [
        ("n3@acme/desk", 1),
        ("n7@acme/desk", 0),
    ]


def test_an_event_that_failed_was_not_seen(steps: Harness) -> None:
    """The one after it lacks it, in one batch or in two; and it is late once it goes through."""
    fails = fact("s1", 1, type="step.taken", seq=1, fails=True)
    steps.process(
        fact("s0", 0, type="step.taken", seq=0), fails, fact("s2", 2, type="step.taken", seq=2)
    )
    told = [(one.row.event, one.disorder.mark) for one in find(steps.store).findings]
    assert told == [("s2@acme/desk", Mark.GAP)]


def test_sequences_of_two_sources_of_one_document_are_kept_apart(steps: Harness) -> None:
    """Each counts from the beginning."""
    for minute, (source, seq) in enumerate([("a", 0), ("b", 0), ("a", 1), ("b", 2), ("b", 1)]):
        steps.process(fact(f"e{minute}", minute, type="step.taken", source=source, seq=seq))
    told = [(one.row.event, one.disorder.mark) for one in find(steps.store).findings]
    assert told == [("e3@acme/b", Mark.GAP)]
    assert steps.document("steps", "acme:T1")["_sync"]["numbers"] == [["a", 0, 1], ["b", 0, 2]]


def test_a_document_from_before_its_events_were_numbered_has_no_gap(steps: Harness) -> None:
    """What is not known of it is not reported."""
    steps.process(*(fact(f"e{n}", n, type="step.taken", seq=n) for n in range(5)))
    steps.store.database["steps"].update_many({}, {"$unset": {"_sync.numbers": ""}})
    steps.process(fact("e5", 5, type="step.taken", seq=5))
    steps.process(fact("e7", 7, type="step.taken", seq=7))
    assert [one.row.event for one in find(steps.store).findings] == ["e7@acme/desk"]


def test_counts_of_some_time_leave_out_copies(steps: Harness) -> None:
    """Nobody noted when those came."""
    steps.process(fact("new", type="note.taken"), late_by(1, "late"))
    steps.process(fact("new", type="note.taken"), fact("new", type="note.taken", other=1))
    late = Count("acme", "notes.apply", late=1, lateness=Spread(60_000, 60_000, 60_000))
    copies = Count("acme", None, duplicates=1, conflicts=1)
    assert counts(steps.store) == counts(steps.store, Among(tenant="acme")) == [copies, late]
    assert counts(steps.store, Among(since=NOW)) == [late]
    assert counts(steps.store, Among(tenant="beta")) == []


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], None),
        ([5], Spread(5, 5, 5)),
        ([2, 1], Spread(1, 2, 2)),
        (range(1, 101), Spread(50, 99, 100)),
        (range(1, 1001), Spread(500, 990, 1000)),
    ],
)
def test_a_spread_is_of_values_that_are_there(values: list[int], expected: Spread | None) -> None:
    """The nearest rank, not something in between."""
    assert spread(values) == expected
