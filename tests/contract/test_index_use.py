"""Every query that the code runs uses an index, by MongoDB's own account."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from redis import Redis

from pipeline.dead_letters import Decisions, Where, find, inputs, tally
from pipeline.querying import query
from pipeline.queue import Heartbeats, JobQueue
from pipeline.shelving import Shelver
from pipeline.sweeping import Sweeper
from pipeline.tracing import trace
from pipeline.undo import Undoing, key_of
from tests.facts import Document, fact
from tests.integration.harness import Harness
from tests.integration.sample_handlers import broken

PROFILE_BYTES = 64 * 1024 * 1024


@pytest.fixture
def watched(mongo: MongoClient[Document], database: Database[Document]) -> Iterator[Harness]:
    """Give a pipeline of which MongoDB writes down every operation."""
    broken.clear()
    harness = Harness(mongo, database.name)
    database.create_collection("system.profile", capped=True, size=PROFILE_BYTES)
    database.command("profile", 2)
    yield harness
    database.command("profile", 0)
    broken.clear()


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
    harness.process(fact("f2", 2, entity_id="T2"))
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
    sweeper = Sweeper(
        watched.store,
        watched.registry,
        JobQueue(redis_server),
        Heartbeats(redis_server, 10),
        watched.clock,
        watched.settings,
    )
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


def test_a_late_event_in_a_long_document_reads_few_of_its_rows(watched: Harness) -> None:
    """However many there are after it."""
    watched.process(*(fact(f"e{n}", n, owner="ann", status="open", points=n) for n in range(400)))
    done = len(operations(watched))
    watched.process(fact("late", 10.5, points=3))
    read = [
        operation["docsExamined"]
        for operation in operations(watched)[done:]
        if operation["ns"].endswith(".tickets_changes") and operation.get("op") == "query"
    ]
    assert 0 < sum(read) < 60


def test_dead_letters_are_read_in_their_order_and_no_others(watched: Harness) -> None:
    """No sort, and no more is read than what is shown."""
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
    assert not any(operation.get("hasSortStage") for operation in asked)


def test_queries_by_key_and_tenant_scan_nothing(watched: Harness) -> None:
    """A person's own conditions are left out: no index can know them beforehand."""
    busy(watched)
    for table in watched.registry.tables():
        query(watched.store, watched.registry, table)
        query(watched.store, watched.registry, table, key="acme:T1")
        query(watched.store, watched.registry, table, tenant="acme")
    assert scans(watched) == []
