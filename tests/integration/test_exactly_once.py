"""Every repetition, wherever it comes from, has no further effect."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline.errors import UnknownHandler
from pipeline.event import Event
from pipeline.store import Batch
from tests.facts import fact
from tests.integration.harness import BOTH_WAYS, Harness

pytestmark = BOTH_WAYS

STORY = (
    fact("e1", 1, status="open", owner="ann", points=3),
    fact("e2", 2, add=2),
    fact("e3", 3, status="done", owner="bob"),
    fact("e4", 4, type="page.viewed", page="home"),
    fact("e5", 5, type="page.ignored", page="home"),
)


def batch_of(harness: Harness, handler: str, *events: Event) -> Batch:
    """A batch of these events, recorded as if somebody wanted them done."""
    lane = harness.registry.handler(handler).lane
    batch = Batch.of(handler, [event.key for event in events], lane)
    now = harness.clock.now()
    harness.store.records.batches.add([(batch, now)], created_at=now)
    return batch


def test_a_first_submission_runs_through_every_handler(harness: Harness) -> None:
    """The plain case that the others repeat: tables, ledger and no work left."""
    receipt = harness.process(*STORY)
    assert receipt.accepted == [event.key for event in STORY]
    assert harness.document("tickets", "acme:T1")["points"] == 5
    assert harness.document("page_totals", "acme:home")["views"] == 1
    assert harness.document("tenant_totals", "acme")["tickets"] == 1
    assert harness.states(STORY[0]) == {
        "tickets.apply": "done",
        "owners.count": "done",
        "tenants.count": "done",
        "statuses.count": "done",
    }
    assert harness.states(STORY[4]) == {"pages.count": "skipped"}
    assert harness.store.records.batches.idle()


def test_submitting_again_counts_duplicates_and_changes_no_table(harness: Harness) -> None:
    """The copies are counted on the events, and that is the only trace in the database."""
    harness.process(*STORY)
    before = harness.everything()
    receipt = harness.process(*STORY)
    after = harness.everything()
    assert (receipt.accepted, receipt.conflicts) == ([], [])
    assert receipt.duplicates == [event.key for event in STORY]
    assert {doc.pop("copies") for doc in after["events"].values()} == {1}
    assert all(doc.pop("repeated") for doc in after["events"].values())
    assert after == before


def test_the_same_content_in_another_key_order_is_a_duplicate(harness: Harness) -> None:
    """JSON says nothing by the order of its keys."""
    harness.submit(fact("e1", payload={"a": 1, "b": {"c": 2, "d": 3}}))
    receipt = harness.submit(fact("e1", payload={"b": {"d": 3, "c": 2}, "a": 1}))
    assert len(receipt.duplicates) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"status": "other"},
        {"entity_id": "T2"},
        {"type": "ticket.closed"},
        {"seq": 1},
        {"minute": 2},
    ],
    ids=lambda other: next(iter(other)),
)
def test_another_content_under_a_known_id_is_a_conflict_and_the_first_stays(
    harness: Harness, other: dict[str, Any]
) -> None:
    """Whichever field differs; the conflict is counted on the event."""
    harness.process(fact("e1", 1, status="open"))
    before = harness.everything()
    receipt = harness.process(fact("e1", **({"minute": 1, "status": "open"} | other)))
    after = harness.everything()
    assert receipt.conflicts == ["e1@acme/desk"]
    assert (receipt.accepted, receipt.duplicates) == ([], [])
    assert after["events"]["e1@acme/desk"].pop("conflicts") == 1
    assert after["events"]["e1@acme/desk"].pop("repeated")
    assert after == before


def test_the_same_id_of_another_tenant_or_source_is_another_event(harness: Harness) -> None:
    """Identity is tenant, source and id together."""
    receipt = harness.process(
        fact("e1", add=1), fact("e1", add=1, tenant="beta"), fact("e1", add=1, source="mail")
    )
    assert len(receipt.accepted) == 3
    assert harness.document("tickets", "acme:T1")["points"] == 2
    assert harness.document("tickets", "beta:T1")["points"] == 1


def test_a_duplicate_within_one_submission_counts_once(harness: Harness) -> None:
    """The first of them is accepted, the second is a duplicate, a third of other content not."""
    receipt = harness.process(fact("e1", add=1), fact("e1", add=1), fact("e1", add=2))
    assert len(receipt.accepted) == len(receipt.duplicates) == len(receipt.conflicts) == 1
    assert harness.document("tickets", "acme:T1")["points"] == 1


def test_known_and_new_events_in_one_submission_are_told_apart(harness: Harness) -> None:
    """The new ones go through although the others were there."""
    harness.process(*STORY[:2])
    receipt = harness.process(*STORY)
    assert receipt.duplicates == [event.key for event in STORY[:2]]
    assert receipt.accepted == [event.key for event in STORY[2:]]
    assert harness.document("tickets", "acme:T1")["points"] == 5


def test_an_event_built_with_a_moment_in_its_payload_can_be_submitted_twice(
    harness: Harness,
) -> None:
    """What was accepted once can be compared with itself, whatever Python type it had."""
    event = fact("e1", payload={"at": datetime(2024, 1, 1, tzinfo=UTC)})
    assert harness.submit(event).accepted == [event.key]
    assert harness.submit(event).duplicates == [event.key]


def test_a_batch_run_twice_has_one_effect(harness: Harness) -> None:
    """The second run finds it done and changes nothing at all."""
    harness.submit(*STORY)
    batches = list(harness.waiting)
    harness.drain()
    before = harness.everything()
    for batch in batches:
        outcome = harness.run(batch)
        assert not outcome.claimed
    assert harness.everything() == before
    assert not harness.waiting


@pytest.mark.parametrize(
    "handler", ["tickets.apply", "owners.count", "tenants.count", "statuses.count"]
)
def test_an_event_in_two_batches_has_one_effect(harness: Harness, handler: str) -> None:
    """The second batch finds the ledger row, and does the rest of its events."""
    harness.process(*STORY)
    domain, ledger = harness.domain(), harness.everything()["ledger"]
    outcome = harness.run(batch_of(harness, handler, STORY[0], STORY[2]))
    assert (outcome.done, outcome.repeated) == (0, 2)
    harness.drain()
    assert harness.domain() == domain
    assert harness.everything()["ledger"] == ledger


def test_an_event_in_two_batches_does_not_hold_up_its_new_neighbour(harness: Harness) -> None:
    """A batch may be half done."""
    harness.process(STORY[0])
    harness.submit(STORY[1])
    harness.waiting.clear()
    harness.run(batch_of(harness, "tickets.apply", STORY[0], STORY[1]))
    assert harness.document("tickets", "acme:T1")["points"] == 5


def test_an_event_done_stays_done_when_its_handler_would_refuse_it_a_second_time(
    harness: Harness,
) -> None:
    """A fold may refuse what it has seen; being in two batches is no failure of the event."""
    opening, other = fact("e1", opens=True, add=1), fact("e2", entity_id="T2")
    harness.process(opening)
    harness.submit(other)
    harness.waiting.clear()
    harness.run(batch_of(harness, "tickets.apply", opening, other))
    assert harness.states(opening)["tickets.apply"] == "done"
    assert harness.states(other)["tickets.apply"] == "done"


def test_a_stale_job_after_a_failure_was_recorded_does_not_burn_an_attempt(
    harness: Harness,
) -> None:
    """RQ delivers the old job again while the event waits in a batch of its own."""
    bad, good = fact("e1", needs="open"), fact("e2", 1, entity_id="T2")
    harness.submit(bad, good)
    old = harness.waiting[0]
    harness.drain()
    before = harness.everything()
    harness.run(old)
    assert harness.everything() == before
    assert harness.row(bad, "tickets.apply").attempt == 1


def test_a_job_of_an_unknown_handler_is_refused_with_a_hint(harness: Harness) -> None:
    """The batch stays to be done, for a worker that knows the handler."""
    harness.submit(*STORY)
    batch = harness.waiting[0]
    before = harness.everything()
    with pytest.raises(UnknownHandler, match=r"did you mean 'tickets\.apply'"):
        harness.executor.run([replace(batch, handler="tickets.aply")])
    assert harness.everything() == before


def test_a_job_nobody_recorded_does_nothing(harness: Harness) -> None:
    """Redis alone can't order work: the batch has to stand in MongoDB."""
    harness.submit(*STORY)
    batch = Batch.of("tickets.apply", [STORY[0].key], "actions")
    before = harness.everything()
    outcome = harness.run(batch)
    assert not outcome.claimed
    assert harness.everything() == before


def test_types_that_no_handler_asks_for_are_kept_and_named(harness: Harness) -> None:
    """An unhandled event is stored, and no work follows from it."""
    receipt = harness.process(
        fact("e1", type="weather.changed"), fact("e2", type="weather.changed")
    )
    assert receipt.unhandled == {"weather.changed": 2}
    assert len(receipt.accepted) == 2
    assert harness.store.records.batches.idle()
