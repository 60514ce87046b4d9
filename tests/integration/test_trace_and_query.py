"""Looking back: what became of an event, and what the tables hold."""

from datetime import timedelta

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from pipeline.declarations import Action, action
from pipeline.errors import NotFound, PipelineError
from pipeline.event import Event
from pipeline.querying import query
from pipeline.tracing import Step, Trace, as_json, trace
from tests.facts import Document, fact
from tests.integration.harness import NOW, Harness
from tests.integration.sample_handlers import Ticket, broken


def traced(harness: Harness, event_id: str) -> Trace:
    """The one trace of this id."""
    (found,) = trace(harness.store, harness.registry, event_id)
    return found


def flat(steps: list[Step]) -> dict[str, str]:
    """All steps of a trace with their states, parents first."""
    found = {}
    for step in steps:
        found |= {step.handler: step.state} | flat(step.steps)
    return found


def found_ids(harness: Harness, table: str, **options: object) -> list[str]:
    """The ids that a query finds."""
    rows = query(harness.store, harness.registry, table, **options)  # type: ignore[arg-type]
    return [row["_id"] for row in rows]


def test_a_trace_before_the_first_run_shows_all_that_is_to_come(harness: Harness) -> None:
    """The tree follows from the handlers; every step waits."""
    harness.submit(fact("e1"))
    found = traced(harness, "e1")
    assert flat(found.steps) == {
        "tickets.apply": "waiting",
        "owners.count": "waiting",
        "statuses.count": "waiting",
        "tenants.count": "waiting",
    }
    (root,) = found.steps
    assert [child.handler for child in root.steps] == ["owners.count", "tenants.count"]
    assert [child.handler for child in root.steps[0].steps] == ["statuses.count"]


def test_a_trace_in_the_middle_shows_how_far_the_event_is(harness: Harness) -> None:
    """The action is done, one of its observers failed, and the observer of that one waits."""
    broken.add(("owners.count", "e1"))
    harness.submit(fact("e1"))
    harness.run(harness.waiting.popleft())
    harness.run(harness.waiting.popleft())
    assert flat(traced(harness, "e1").steps) == {
        "tickets.apply": "done",
        "owners.count": "retrying",
        "statuses.count": "waiting",
        "tenants.count": "done",
    }


def test_a_trace_afterwards_tells_who_did_what_and_when(harness: Harness) -> None:
    """Worker, job, times and what was written, of every step."""
    harness.process(fact("e1", 1, status="open", add=1), fact("e1", 1, status="open", add=1))
    told = as_json(traced(harness, "e1"))
    assert told["event"]["payload"] == {"status": "open", "add": 1}
    assert (told["copies"], told["conflicts"], told["received_at"]) == (1, 0, NOW)
    (root,) = told["steps"]
    assert (root["state"], root["attempt"], root["worker"]) == ("done", 1, "worker-1")
    assert (root["key"], root["table"]) == ("acme:T1", "tickets")
    assert (root["read_at"], root["write_at"], root["read_ms"]) == (NOW, NOW, 0)
    assert root["job"]
    assert any("status" in line for line in root["wrote"])
    assert root["steps"][0]["steps"][0]["handler"] == "statuses.count"


def test_a_trace_shows_what_handlers_did_that_are_no_longer_loaded(
    harness: Harness, mongo: MongoClient[Document], database: Database[Document]
) -> None:
    """What happened happened."""
    harness.process(fact("e1"))
    without = Harness(mongo, database.name, [harness.registry.handler("tickets.apply")])
    assert flat(traced(without, "e1").steps)["owners.count"] == "done"


def test_an_event_is_found_by_its_id_and_by_its_key(harness: Harness) -> None:
    """Both say the same while the id is one event's only."""
    harness.process(fact("e1"))
    assert traced(harness, "e1") == traced(harness, "e1@acme/desk")


def test_an_id_that_two_tenants_share_has_two_traces(harness: Harness) -> None:
    """The key tells them apart."""
    harness.process(fact("e1"), fact("e1", tenant="beta"), fact("e10"))
    found = trace(harness.store, harness.registry, "e1")
    assert {one.record.event.tenant for one in found} == {"acme", "beta"}
    assert traced(harness, "e1@beta/desk").record.event.tenant == "beta"


@pytest.mark.parametrize("unknown", ["e9", "", "e", "e1@acme", "e1@beta/desk", "e1@acme/desk|x"])
def test_an_unknown_id_is_said_to_be_unknown(harness: Harness, unknown: str) -> None:
    """No prefix and no half key finds anything."""
    harness.process(fact("e1"))
    with pytest.raises(NotFound, match="no event"):
        trace(harness.store, harness.registry, unknown)


@pytest.mark.parametrize("other", ["e1@acme/desk|x", "e1@acme/desk", "e1@x", "e1|x", "e1}"])
def test_a_trace_holds_no_row_of_an_event_whose_id_begins_alike(
    harness: Harness, other: str
) -> None:
    """Ids may hold any sign, also those that join keys; another tenant's least of all."""
    harness.submit(fact("e1"))
    harness.waiting.clear()
    harness.process(fact(other, tenant="beta"))
    found = {
        one.record.event.key: flat(one.steps)
        for one in trace(harness.store, harness.registry, "e1@acme/desk")
    }
    assert set(found["e1@acme/desk"].values()) == {"waiting"}


def test_a_query_by_key_finds_one_document(harness: Harness) -> None:
    """And none where there is none."""
    harness.process(fact("e1"), fact("e2", entity_id="T2"))
    assert found_ids(harness, "tickets", key="acme:T2") == ["acme:T2"]
    assert found_ids(harness, "tickets", key="acme:T3") == []


@pytest.mark.parametrize("table", ["tickets", "owner_totals", "tenant_totals", "page_totals"])
def test_a_query_by_tenant_shows_that_tenant_only(harness: Harness, table: str) -> None:
    """Names that begin alike, in any sign that a name may hold, are other tenants."""
    others = ["ab", "a-b", "a.b", "a_b", "A", "a0", "b"]
    for n, tenant in enumerate(["a", *others]):
        harness.submit(fact(f"t{n}", tenant=tenant, entity_id="x:y"))
        harness.submit(fact(f"p{n}", tenant=tenant, type="page.viewed", page="x:y"))
    harness.drain()
    for tenant in ["a", *others]:
        (found,) = found_ids(harness, table, tenant=tenant)
        assert found == tenant or found.startswith(f"{tenant}:")


def test_a_text_that_is_no_tenant_is_refused(harness: Harness) -> None:
    """`a:b` is the beginning of a key of tenant a, and no tenant."""
    harness.process(fact("e1", tenant="a", entity_id="b"), fact("e2", tenant="a", entity_id="b:c"))
    with pytest.raises(PipelineError, match="no tenant's name"):
        found_ids(harness, "tickets", tenant="a:b")


def test_a_temporal_table_is_queried_by_tenant_too(harness: Harness) -> None:
    """Its ids begin with the document's key."""
    harness.process(fact("e1", 1), fact("e2", 2), fact("e3", 3, tenant="acme2"))
    assert len(found_ids(harness, "tickets_changes", tenant="acme")) == 2


def test_the_temporal_table_of_one_document_a_tenant_is_queried_by_tenant_too(
    mongo: MongoClient[Document], database: Database[Document]
) -> None:
    """A key may be the tenant alone."""
    harness = Harness(mongo, database.name, [whole_tenant()])
    harness.process(fact("e1"), fact("e2", tenant="acme2"))
    assert found_ids(harness, "desks", tenant="acme") == ["acme"]
    assert len(found_ids(harness, "desks_changes", tenant="acme")) == 1


def whole_tenant() -> Action:
    """A fold with one document a tenant."""

    @action("desks.apply", on="ticket.*", table="desks", key="{tenant}")
    def apply_desk(state: Ticket | None, event: Event) -> Ticket:
        return state or Ticket()

    return apply_desk


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (("points>1",), ["acme:T2", "acme:T3"]),
        (("points >= 2", "points<3"), ["acme:T2"]),
        (("points<=1",), ["acme:T1"]),
        (("owner=o2",), ["acme:T2"]),
        (("owner!=o2",), ["acme:T1", "acme:T3"]),
        (("due>=2024-07-02T00:00:00Z",), ["acme:T2", "acme:T3"]),
        (("due<2024-07-02",), ["acme:T1"]),
        (("_sync.event_at=2024-05-01T12:01:00+00:00",), ["acme:T1"]),
        (("nothing=null",), ["acme:T1", "acme:T2", "acme:T3"]),
    ],
)
def test_conditions_are_read_as_a_person_means_them(
    harness: Harness, conditions: tuple[str, ...], expected: list[str]
) -> None:
    """Numbers, times and texts, and all conditions hold."""
    for n in (1, 2, 3):
        due = f"2024-07-0{n}T00:00:00Z"
        harness.submit(fact(f"e{n}", n, entity_id=f"T{n}", points=n, owner=f"o{n}", due=due))
    harness.drain()
    assert found_ids(harness, "tickets", tenant="acme", conditions=conditions) == expected


@pytest.mark.parametrize(
    "condition", ["points", "=1", "$where=1", "points!1", "", f"points={2**64}", "a\0b=1"]
)
def test_a_condition_that_can_not_be_read_is_refused(harness: Harness, condition: str) -> None:
    """With the framework's own error, which the command line shows as a sentence."""
    with pytest.raises(PipelineError):
        found_ids(harness, "tickets", conditions=(condition,))


def test_an_unknown_table_is_refused_with_a_hint(harness: Harness) -> None:
    """The nearest name, and all there are; the framework's own tables are no domain's."""
    with pytest.raises(NotFound, match=r"did you mean 'tickets'\?; there are .*owner_totals"):
        found_ids(harness, "tikets")
    with pytest.raises(NotFound):
        found_ids(harness, "events")


def test_a_query_gives_as_many_as_asked_for_in_the_order_of_their_keys(
    harness: Harness,
) -> None:
    """The first so many."""
    harness.process(*(fact(f"e{n}", entity_id=f"T{n}") for n in (3, 1, 2)))
    assert found_ids(harness, "tickets", limit=2) == ["acme:T1", "acme:T2"]


def test_a_trace_is_not_changed_by_the_time_that_passes(harness: Harness) -> None:
    """Looking writes nothing."""
    harness.process(fact("e1"))
    before = harness.everything()
    told = as_json(traced(harness, "e1"))
    harness.clock.advance(timedelta(days=1))
    assert as_json(traced(harness, "e1")) == told
    assert harness.everything() == before
