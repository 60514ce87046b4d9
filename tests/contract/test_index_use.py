"""Every query that the code runs uses an index, by MongoDB's own account."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from redis import Redis

from pipeline import lateness
from pipeline.dead_letters import Decisions, Where, counted, find, groups_of, inputs, tally
from pipeline.disorder import Mark
from pipeline.executor import Executor
from pipeline.querying import as_of, history, query
from pipeline.queue import JobQueue
from pipeline.shelving import Shelver
from pipeline.store import Among, Voided
from pipeline.tracing import trace
from pipeline.undo import Undoing, key_of
from tests.facts import NOON, Document, fact
from tests.integration import numbered_handlers
from tests.integration.harness import Harness
from tests.integration.sample_handlers import broken

PROFILE_BYTES = 64 * 1024 * 1024


@pytest.fixture
def watched(mongo: MongoClient[Document], database: Database[Document]) -> Iterator[Harness]:
    """Give a pipeline of which MongoDB writes down every operation."""
    broken.clear()
    harness = Harness(mongo, database.name)
    with written_down(database):
        yield harness
    broken.clear()


@pytest.fixture
def numbering(mongo: MongoClient[Document], database: Database[Document]) -> Iterator[Harness]:
    """Give another such pipeline, whose events are numbered and wait for each other a minute."""
    harness = Harness(mongo, database.name, numbered_handlers.ALL)
    harness.executor = Executor(
        harness.store,
        harness.registry,
        harness.clock,
        harness.settings,
        worker="worker-1",
        grace=lambda _handler, _tenant: 60_000,
    )
    with written_down(database):
        yield harness


@contextmanager
def written_down(database: Database[Document]) -> Iterator[None]:
    """Let MongoDB write down every operation."""
    database.create_collection("system.profile", capped=True, size=PROFILE_BYTES)
    database.command("profile", 2)
    yield
    database.command("profile", 0)


def operations(harness: Harness) -> list[Document]:
    """What MongoDB wrote down, without how it was asked to and what a reader of it asked."""
    database = harness.store.database
    database.command("profile", 0)
    found = list(
        database["system.profile"].find({"ns": {"$ne": f"{database.name}.system.profile"}})
    )
    database.command("profile", 2)
    return found


def scans(harness: Harness) -> list[Any]:
    """The operations that read a whole collection."""
    return [
        (operation["ns"], operation.get("op"), operation.get("command"))
        for operation in operations(harness)
        if "COLLSCAN" in operation.get("planSummary", "")
    ]


def busy(harness: Harness) -> None:
    """Submissions, copies, conflicts, failures, late events, healing, recomputing, removing."""
    harness.process(*(fact(f"e{n}", n, owner="ann", add=n) for n in range(10, 20)))
    harness.process(*(fact(f"e{n}", n, owner="ann", add=n) for n in range(10, 12)))
    harness.process(fact("e10", 10, owner="conflict"))
    harness.process(fact("e5", 5, owner="bob", status="open"), fact("e12x", 12.5, owner="cid"))
    harness.process(fact("f2", 2, entity_id="T2", remark="long " * 300))
    harness.process(fact("f1", 1, entity_id="T2", owner="dan"))
    harness.process(fact("p1", type="page.viewed", page="home"), fact("p2", type="page.viewed"))
    broken.add(("owners.count", "g1"))
    harness.process(fact("g1", entity_id="T3"), fact("g2", entity_id="T4", points=2**70))
    harness.process(fact("h1", entity_id="T5", fill=17 * 1024 * 1024), fact("h2", entity_id="T6"))
    harness.retry()
    harness.retry()


def test_the_profiler_sees_scans(watched: Harness) -> None:
    """A test of this test: a query that no index serves is found."""
    watched.process(fact("e1"))
    watched.store.find("tickets", {"points": 7}, limit=5)
    list(watched.store.database["tickets"].find({"points": 7}))
    assert scans(watched)


def test_submitting_running_healing_and_retrying_scan_nothing(watched: Harness) -> None:
    """All that workers do."""
    busy(watched)
    seen = {operation["ns"].partition(".")[2] for operation in operations(watched)}
    assert {"events", "payloads", "ledger", "batches", "tickets", "tickets_changes"} <= seen
    assert scans(watched) == []


def test_sweeping_scans_nothing(watched: Harness, redis_server: Redis) -> None:
    """Each pass of the sweeper, with work and without."""
    sweeper = watched.sweeper_of(redis_server)
    watched.submit(*(fact(f"e{n}", n) for n in range(10)))
    for _ in range(2):
        watched.clock.advance(timedelta(hours=1))
        sweeper.sweep()
    watched.drain()
    sweeper.sweep()
    assert scans(watched) == []


def test_looking_at_an_event_scans_nothing(watched: Harness) -> None:
    """A trace by id and by key."""
    busy(watched)
    trace(watched.store, watched.registry, "e10")
    trace(watched.store, watched.registry, "e10@acme/desk")
    assert scans(watched) == []


def test_looking_at_the_whole_scans_nothing(watched: Harness) -> None:
    """What `status` asks: backlog, trouble, copies and counts, however much there is."""
    busy(watched)
    records = watched.store.records
    records.batches.backlog()
    records.batches.idle()
    records.ledger.in_trouble()
    records.events.repeats()
    records.events.count()
    watched.store.counts(watched.registry.tables())
    assert scans(watched) == []


def test_dead_letters_are_found_and_decided_about_without_a_scan(
    watched: Harness, redis_server: Redis
) -> None:
    """By every filter, page by page, whole and in bulk; and shown again after a wipe."""
    lanes = JobQueue(redis_server)
    decisions = Decisions(watched.store, watched.registry, lanes, watched.clock, watched.settings)
    busy(watched)
    busy_letters = find(watched.store, limit=2)
    assert busy_letters.after is not None
    now = watched.clock.now()
    for where in (
        Where(),
        Where(tenant="acme"),
        Where(handler="owners.count", error="RuntimeError"),
        Where(since=now - timedelta(days=1), until=now),
        Where(event="g1@acme/desk"),
    ):
        for newest_first in (True, False):
            find(watched.store, where, newest_first=newest_first)
        find(watched.store, where, after=busy_letters.after)
        tally(watched.store, where)
    for letter in find(watched.store).letters:
        inputs(watched.store, watched.registry, letter)
    assert Shelver(watched.store, lanes, watched.clock).look()
    assert decisions.requeue_all(Where(), limit=1).done == 1
    assert decisions.discard_all(Where(tenant="acme"), "not needed").done > 0
    assert scans(watched) == []


def test_undoing_and_what_would_be_different_scan_nothing(
    watched: Harness, redis_server: Redis
) -> None:
    """A dry run, an undo, and back; extremes are found again; and the list of effects."""
    busy(watched)
    lanes = JobQueue(redis_server)
    undoing = Undoing(watched.store, watched.registry, lanes, watched.clock, watched.settings)
    watched.process(fact("e5b", 5.5, owner="eve"), fact("e13x", 13.5, owner="bob"))
    for event in ("e5", "e19", "p1", "g1", "h1"):
        key = key_of(watched.store, event)
        assert undoing.rehearse(key).done
        assert undoing.undo(key, by="ann", reason="a test").done
        assert undoing.redo(key).done
    for tenant, handler in ((None, None), ("acme", None), ("acme", "owners.count")):
        watched.store.records.ledger.outdated(tenant=tenant, handler=handler, limit=10)
    grouped = [
        operation
        for operation in operations(watched)
        if any("$group" in stage for stage in operation.get("command", {}).get("pipeline", []))
    ]
    assert grouped
    assert scans(watched) == []


def reads_of_rows(watched: Harness, done: int) -> list[int]:
    """How many documents each command looked at or returned that reads temporal rows."""
    return [
        max(operation["docsExamined"], operation["nreturned"])
        for operation in operations(watched)[done:]
        if "docsExamined" in operation
        and {"find", "aggregate"} & operation["command"].keys()
        and (operation["ns"].endswith("_changes") or "$lookup" in str(operation["command"]))
    ]


def test_a_late_event_in_a_long_document_reads_few_of_its_rows(watched: Harness) -> None:
    """However many there are after it."""
    watched.process(*(fact(f"e{n}", n, owner="ann", status="open", points=n) for n in range(400)))
    done = len(operations(watched))
    watched.process(fact("late", 10.5, points=3))
    assert 0 < sum(reads_of_rows(watched, done)) < 60


def test_events_that_come_late_for_many_documents_read_few_rows_of_each(watched: Harness) -> None:
    """And in one command, where each document is a long one."""
    entities = [f"T{n:02}" for n in range(30)]
    events = [fact(f"{t}-{n}", n, entity_id=t, points=n) for t in entities for n in range(40)]
    watched.process(*events)
    done = len(operations(watched))
    watched.submit(*(fact(f"late-{t}", 20.5, entity_id=t, points=3) for t in entities))
    watched.run(watched.waiting.popleft())
    (read,) = reads_of_rows(watched, done)
    assert 0 < read < 15 * len(entities)


def test_dead_letters_are_read_in_their_order_and_no_others(watched: Harness) -> None:
    """Page by page without a sort, and no more is read than what is shown."""
    watched.process(*(fact(f"e{n}", n, entity_id=f"T{n}") for n in range(50)))
    broken.update(("tickets.apply", f"f{n}") for n in range(20))
    watched.submit(*(fact(f"f{n}", n, entity_id=f"F{n}") for n in range(20)))
    watched.submit(fact("odd", tenant="beta", entity_id="B", needs="open"))
    watched.drain()
    watched.retry()
    watched.retry()
    page = find(watched.store, limit=5)
    find(watched.store, limit=5, after=page.after)
    find(watched.store, Where(tenant="beta"), limit=5, newest_first=False)
    find(watched.store, Where(error="ValueError"), limit=5)
    asked = [
        operation
        for operation in operations(watched)
        if operation.get("command", {}).get("sort") and operation["ns"].endswith(".ledger")
    ]
    assert [operation["nreturned"] for operation in asked] == [5, 5, 1, 1]
    assert [operation["docsExamined"] for operation in asked] == [5, 5, 1, 1]
    # The second page begins where it begins, not where the first one did.
    assert asked[1]["keysExamined"] <= 6
    # The few of a tenant or an error are sorted, not looked for among all.
    assert not any(operation.get("hasSortStage") for operation in asked[:2])


def test_counting_dead_letters_reads_an_index_alone_and_no_more_of_it_than_matches(
    watched: Harness,
) -> None:
    """Whatever is asked for, and also where nothing matches."""
    broken.update(("tickets.apply", f"f{n}") for n in range(200))
    watched.submit(*(fact(f"f{n}", n, entity_id=f"F{n}") for n in range(200)))
    watched.drain()
    watched.retry()
    watched.retry()
    begun = len(operations(watched))
    few = (
        Where(tenant="nobody"),
        Where(handler="none"),
        Where(error="None"),
        Where(tenant="acme", handler="tickets.apply", error="ValueError"),
        Where(handler="tickets.apply", error="RuntimeError", signature="another one"),
    )
    for where in (Where(), Where(tenant="acme")):
        assert [one.events for one in tally(watched.store, where)] == [200]
        assert [one.events for one in groups_of(watched.store, where)] == [200]
    assert [cell.tenant for cell in counted(watched.store).cells or []] == ["acme"]
    for where in few:
        assert (tally(watched.store, where), groups_of(watched.store, where)) == ([], [])
        assert find(watched.store, where).letters == []
    assert watched.store.records.ledger.in_trouble()["dead"] == 200
    assert sum(one.events for one in watched.store.records.trouble.standing()) >= 200
    asked = [one for one in operations(watched)[begun:] if one["ns"].endswith(".ledger")]
    assert len(asked) == 5 + 3 * len(few) + 2
    assert {one["docsExamined"] for one in asked} == {0}
    assert max(one["keysExamined"] for one in asked[:5]) <= 201
    assert max(one["keysExamined"] for one in asked[5:-2]) <= 5


def disorderly(harness: Harness) -> None:
    """Many events in order, some late ones, some copies."""
    harness.process(*(fact(f"e{n}", n, entity_id=f"T{n % 5}") for n in range(100)))
    harness.process(*(fact(f"l{n}", n, entity_id=f"T{n % 5}") for n in range(8)))
    harness.process(fact("b2", 2, tenant="beta"), fact("b1", 1, tenant="beta"))
    harness.process(fact("e1", 1, entity_id="T1"))


def test_what_came_out_of_order_is_found_and_counted_without_a_scan(watched: Harness) -> None:
    """By every filter, and page by page."""
    disorderly(watched)
    now = watched.clock.now()
    for among in (
        Among(),
        Among(tenant="acme"),
        Among(handler="tickets.apply", mark=Mark.LATE),
        Among(since=now - timedelta(days=1), until=now + timedelta(days=1)),
    ):
        for newest_first in (True, False):
            page = lateness.find(watched.store, among, limit=3, newest_first=newest_first)
            assert page.after is not None
            lateness.find(watched.store, among, after=page.after, newest_first=newest_first)
        assert lateness.counts(watched.store, among)
        lateness.costs(watched.store, among)
    assert scans(watched) == []


def test_what_came_out_of_order_is_read_in_its_order_and_no_other(watched: Harness) -> None:
    """No sort, no more rows than are shown, and to count them no row at all."""
    disorderly(watched)
    page = lateness.find(watched.store, limit=3)
    lateness.find(watched.store, limit=3, after=page.after)
    lateness.find(watched.store, Among(tenant="beta"), limit=3)
    lateness.find(watched.store, Among(mark=Mark.GAP), limit=3)
    lateness.counts(watched.store)
    lateness.counts(watched.store, Among(mark=Mark.LATE, since=watched.clock.now()))
    asked = [
        operation
        for operation in operations(watched)
        if operation.get("command", {}).get("hint") == "disorder_in_time"
    ]
    listed, counted = asked[:-2], asked[-2:]
    assert [operation["nreturned"] for operation in listed] == [3, 3, 1, 0]
    assert [operation["docsExamined"] for operation in listed] == [3, 3, 1, 0]
    assert not any(operation.get("hasSortStage") for operation in asked)
    # The second page begins where it begins, not where the first one did.
    assert listed[1]["keysExamined"] <= 4
    assert [operation["nreturned"] for operation in counted] == [9, 9]
    assert [operation["docsExamined"] for operation in counted] == [0, 0]


def test_events_that_wait_are_put_aside_let_go_and_counted_without_a_scan(
    numbering: Harness,
) -> None:
    """And only those of the documents at hand are looked at."""
    for n in range(20):
        numbering.process(
            fact(f"w{n}", 5, type="step.taken", entity_id=f"W{n}", tenant="acme", seq=5)
        )
    numbering.process(*(fact(f"s{n}", n, type="step.taken", seq=n) for n in (0, 2)))
    numbering.process(fact("s1", 1, type="step.taken", seq=1))
    numbering.retry()
    lateness.costs(numbering.store)
    lateness.costs(numbering.store, Among(tenant="acme"))
    found = operations(numbering)
    looked = [
        operation
        for operation in found
        if operation.get("command", {}).get("filter", {}).get("state") == "held"
    ]
    assert max(operation["docsExamined"] for operation in looked) == 1
    assert max(operation["keysExamined"] for operation in looked[:3]) <= 2
    counted = [o for o in found if o.get("command", {}).get("hint") == "held_by_document"]
    assert [operation["docsExamined"] for operation in counted] == [0, 0]
    assert [o["ns"] for o in found if "COLLSCAN" in o.get("planSummary", "")] == []


def test_what_was_undone_of_an_entity_is_found_by_an_index(numbering: Harness) -> None:
    """Of undone events alone, wherever a numbered document begins with a gap."""
    numbering.process(*(fact(f"s{n}", n, type="step.taken", seq=n) for n in range(50)))
    records = numbering.store.records
    note = Voided(NOON, "ann", "a test")
    records.events.void("s3@acme/desk", note)
    assert [event.seq for event in records.events.voided_of({("acme", "T1"), ("acme", "T2")})] == [
        3
    ]
    found = [
        o for o in operations(numbering) if "voided" in str(o.get("command", {}).get("filter"))
    ]
    assert [(o["docsExamined"], "COLLSCAN" in o["planSummary"]) for o in found] == [(1, False)]


def test_queries_by_key_and_tenant_scan_nothing(watched: Harness) -> None:
    """A person's own conditions are left out: no index can know them beforehand."""
    busy(watched)
    for table in watched.registry.tables():
        query(watched.store, watched.registry, table)
        query(watched.store, watched.registry, table, key="acme:T1")
        query(watched.store, watched.registry, table, tenant="acme")
    assert scans(watched) == []


def test_looking_into_the_past_scans_nothing(watched: Harness) -> None:
    """By key, by tenant and whole; and the story of one document."""
    busy(watched)
    looked = watched.store, watched.registry, "tickets"
    now = watched.clock.now()
    as_of(*looked, now)
    as_of(*looked, now, tenant="acme")
    as_of(*looked, now, key="acme:T1", conditions=("owner=ann",))
    history(*looked, "acme:T1", since=now - timedelta(days=100), until=now)
    assert scans(watched) == []


def test_the_past_of_one_document_is_one_row_of_one_range(watched: Harness) -> None:
    """However many rows it has, and others that begin alike."""
    watched.process(*(fact(f"e{n}", n) for n in range(50)))
    watched.process(*(fact(f"f{n}", n, entity_id="T10") for n in range(50)))
    as_of(watched.store, watched.registry, "tickets", NOON + timedelta(minutes=25), key="acme:T1")
    (asked,) = (
        operation
        for operation in operations(watched)
        if operation.get("command", {}).get("sort") == {"_id": -1}
        and "valid_from" in str(operation["command"])
    )
    assert (asked["nreturned"], asked["docsExamined"]) == (1, 1)
    assert asked["keysExamined"] <= 2
