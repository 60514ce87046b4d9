"""Finding dead letters: by whom, of what, since when; with all that is known of each."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from redis import Redis

from pipeline.dead_letters import Inputs, Where, as_json, find, inputs, tally
from pipeline.errors import UnknownHandler
from pipeline.store import LedgerState
from tests.facts import Document, fact
from tests.integration.harness import NOW, Harness
from tests.integration.letters import Letters, tickets
from tests.integration.sample_handlers import apply_ticket, broken

HOUR = timedelta(hours=1)


@pytest.fixture
def many(pipeline: Letters) -> Letters:
    """Bury events of two tenants in three handlers, an hour apart, for several reasons."""
    pipeline.bury(fact("a", entity_id="A"))
    pipeline.clock.advance(HOUR)
    pipeline.bury(fact("b", entity_id="B"), handler="owners.count")
    pipeline.clock.advance(HOUR)
    pipeline.bury(fact("c", entity_id="C", tenant="beta"))
    pipeline.clock.advance(HOUR)
    pipeline.submit(fact("d", entity_id="D", needs="open"), fact("p", type="page.viewed"))
    pipeline.settle()
    broken.clear()
    return pipeline


def test_a_letter_tells_all_that_is_known_of_it(pipeline: Letters) -> None:
    """Event, handler, attempts, error with traceback, when, who, and which job."""
    event = fact("e1", 3, status="open")
    pipeline.bury(event)
    (letter,) = pipeline.letters()
    assert (letter.event, letter.handler, letter.attempts) == (event.key, "tickets.apply", 1)
    assert (letter.died_at, letter.id) == (NOW, f"{event.key}|tickets.apply")
    assert letter.cause == "RuntimeError: told to fail on e1"
    assert letter.error["stage"] == "handle"
    assert "sample_handlers" in letter.error["traceback"]
    assert letter.run is not None
    assert (letter.run.worker, letter.run.read_at) == ("worker-1", NOW)
    assert letter.record is not None
    assert letter.record.event.payload == {"status": "open"}


def test_the_worker_of_the_last_of_several_attempts_is_known(
    mongo: MongoClient[Document], database: Database[Document], redis_server: Redis
) -> None:
    """The batch of one that is run again keeps who ran it last."""
    pipeline = Letters(mongo, database.name, redis_server, max_attempts=3)
    event = fact("e1")
    broken.add(("tickets.apply", "e1"))
    pipeline.submit(event)
    for n in range(3):
        pipeline.executor = pipeline.executor_of(f"worker-{n}")
        pipeline.work()
        pipeline.sweep(after=HOUR)
    (letter,) = pipeline.letters()
    assert letter.run is not None
    assert (letter.attempts, letter.run.worker) == (3, "worker-2")


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (Where(), ["a", "b", "c", "d", "p"]),
        (Where(tenant="acme"), ["a", "b", "d", "p"]),
        (Where(tenant="beta"), ["c"]),
        (Where(tenant="nobody"), []),
        (Where(handler="owners.count"), ["b"]),
        (Where(error="RuntimeError"), ["a", "b", "c"]),
        (Where(error="ValueError"), ["d"]),
        (Where(error="HandlerFault", handler="pages.count"), ["p"]),
        (Where(since=NOW + HOUR), ["b", "c", "d", "p"]),
        (Where(until=NOW + HOUR), ["a"]),
        (Where(since=NOW + HOUR, until=NOW + 3 * HOUR), ["b", "c"]),
        (Where(event="a@acme/desk"), ["a"]),
        (Where(event="a@beta/desk"), []),
        (Where(tenant="acme", handler="tickets.apply", error="RuntimeError"), ["a"]),
    ],
)
def test_letters_are_found_by_what_is_asked_for(
    many: Letters, where: Where, expected: list[str]
) -> None:
    """Everything that is given holds, and what is not given does not matter."""
    assert sorted(many.dead(where)) == expected
    assert sum(found.events for found in tally(many.store, where)) == len(expected)


def test_letters_are_tallied_by_handler_and_error(many: Letters) -> None:
    """With the first and the last time, so that a person sees an outage at a glance."""
    found = [tuple(one) for one in tally(many.store)]
    at = [NOW + n * HOUR for n in range(4)]
    assert found == [
        ("owners.count", "RuntimeError", 1, at[1], at[1]),
        ("pages.count", "HandlerFault", 1, at[3], at[3]),
        ("tickets.apply", "RuntimeError", 2, at[0], at[2]),
        ("tickets.apply", "ValueError", 1, at[3], at[3]),
    ]


@pytest.mark.parametrize("newest_first", [True, False])
def test_pages_follow_each_other_without_gap_or_overlap(
    pipeline: Letters, *, newest_first: bool
) -> None:
    """Also where many died in the same millisecond, which is as exact as time is kept."""
    pipeline.bury(*tickets(7))
    pipeline.clock.advance(HOUR)
    pipeline.bury(fact("last", entity_id="T9"))
    expected = sorted(((one.died_at, one.id) for one in pipeline.letters()), reverse=newest_first)
    found: list[tuple[datetime, str]] = []
    after = None
    for size in (3, 3, 3):
        page = find(pipeline.store, limit=size, after=after, newest_first=newest_first)
        found += [(letter.died_at, letter.id) for letter in page.letters]
        after = page.after
    assert after is None
    assert found == expected


def test_a_page_after_the_last_full_one_is_empty(pipeline: Letters) -> None:
    """Its end is told as that of any other."""
    pipeline.bury(*tickets(2))
    page = find(pipeline.store, limit=2)
    assert page.after is not None
    assert find(pipeline.store, limit=2, after=page.after) == ([], None)


@pytest.mark.parametrize("other", ["e1@acme/desk|x", "e1@acme/desk", "e1|tickets.apply"])
def test_an_event_is_not_taken_for_one_whose_id_begins_alike(pipeline: Letters, other: str) -> None:
    """Ids may hold any sign, also those that join keys."""
    pipeline.bury(fact("e1"), fact(other, entity_id="T2", tenant="beta"))
    assert len(pipeline.letters()) == 2
    (letter,) = pipeline.letters(Where(event="e1@acme/desk"))
    assert letter.event == "e1@acme/desk"


@pytest.mark.parametrize("odd", ["a.c", "a*", "(a", "[a-z]", "a\\", "^a$", "ä€", "a b"])
def test_signs_in_an_event_id_stand_for_themselves(pipeline: Letters, odd: str) -> None:
    """No id is a pattern."""
    pipeline.bury(fact(odd), fact("abc", entity_id="T2"), fact("a", entity_id="T3"))
    assert pipeline.dead(Where(event=f"{odd}@acme/desk")) == [odd]


def test_what_is_not_dead_is_no_letter(
    mongo: MongoClient[Document], database: Database[Document], redis_server: Redis
) -> None:
    """An event that is to be tried again is nobody's business yet."""
    pipeline = Letters(mongo, database.name, redis_server, max_attempts=2)
    broken.add(("tickets.apply", "e1"))
    pipeline.submit(fact("e1"), fact("e2", entity_id="T2"))
    pipeline.work()
    assert pipeline.row(fact("e1"), "tickets.apply").state is LedgerState.RETRYING
    assert pipeline.letters() == []


def given(pipeline: Letters) -> Inputs:
    """What the handler of the only letter would be given."""
    (letter,) = pipeline.letters()
    return inputs(pipeline.store, pipeline.registry, letter)


def test_the_inputs_of_a_fold_hold_the_state_before_the_event(pipeline: Letters) -> None:
    """As of the event's place in the order, whatever came after it; the key's own document."""
    pipeline.process(fact("e1", 1, status="open"), fact("e3", 3, status="closed"))
    pipeline.process(fact("x", 1, entity_id="T1|2024-05-01T12:01:30", status="other"))
    pipeline.bury(fact("e2", 2, status="half"))
    assert given(pipeline).document == "tickets[acme:T1]"
    assert (given(pipeline).before or {})["status"] == "open"
    assert (given(pipeline).after, given(pipeline).observes) == (None, False)
    pipeline.process(fact("e1.5", 1.5, status="late"))
    assert (given(pipeline).before or {})["status"] == "late"


def test_the_first_event_of_a_document_has_no_state_before_it(pipeline: Letters) -> None:
    """Which is an input too."""
    pipeline.process(fact("e2", 2, status="open"))
    pipeline.bury(fact("e1", 1))
    assert given(pipeline) == Inputs("tickets[acme:T1]")


@pytest.mark.parametrize("observer", ["owners.count", "statuses.count"])
def test_the_inputs_of_an_observer_are_the_two_sides_of_the_change(
    pipeline: Letters, observer: str
) -> None:
    """Of the fold at the head of the chain."""
    pipeline.process(fact("e1", 1, status="open"))
    pipeline.bury(fact("e2", 2, status="closed"), handler=observer)
    found = given(pipeline)
    assert (found.document, found.observes) == ("tickets[acme:T1]", True)
    assert found.before is not None
    assert found.after is not None
    assert (found.before["status"], found.after["status"]) == ("open", "closed")


def test_a_commutative_action_reads_no_state(pipeline: Letters) -> None:
    """The event is all it is given."""
    pipeline.bury(fact("p1", type="page.viewed"))
    assert given(pipeline) == Inputs()


def test_inputs_of_a_handler_that_is_not_loaded_are_not_known(
    pipeline: Letters, mongo: MongoClient[Document], database: Database[Document]
) -> None:
    """The letter itself is found all the same."""
    pipeline.bury(fact("e1"), handler="owners.count")
    without = Harness(mongo, database.name, [apply_ticket])
    (letter,) = find(without.store).letters
    with pytest.raises(UnknownHandler):
        inputs(without.store, without.registry, letter)


def test_a_letter_as_json_is_what_a_person_sees(pipeline: Letters) -> None:
    """Inputs only where they were asked for."""
    pipeline.bury(fact("e1", 3, status="open"))
    (letter,) = pipeline.letters()
    told = as_json(letter)
    error = told.pop("error")
    assert (error["type"], error["message"]) == ("RuntimeError", "told to fail on e1")
    assert told == {
        "event": "e1@acme/desk",
        "event_id": "e1",
        "tenant": "acme",
        "type": "ticket.changed",
        "handler": "tickets.apply",
        "attempts": 1,
        "died_at": NOW,
        "received_at": NOW,
        "worker": "worker-1",
        "job": letter.row.job,
    }
    with_inputs: dict[str, Any] = as_json(letter, given(pipeline))["inputs"]
    assert with_inputs["event"]["payload"] == {"status": "open"}
    assert with_inputs["event"]["entity_id"] == "T1"
    assert (with_inputs["document"], with_inputs["before"]) == ("tickets[acme:T1]", None)
