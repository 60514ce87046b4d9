"""A large submission is cut along the documents that its events are about."""

import random
from collections import Counter
from collections.abc import Iterable
from unittest.mock import patch

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from pipeline import Event, State, action
from pipeline.declarations import Handler
from tests.facts import Document, fact
from tests.integration.harness import Harness
from tests.integration.sample_handlers import ALL, apply_ticket

TICKETS, TEAMS = 60, 3
SIZE = 20


class Board(State):
    """What a team has on its board."""

    cards: int = 0


@action("boards.apply", on="ticket.*", table="boards", key="{tenant}:{payload.team}")
def apply_board(state: Board | None, event: Event) -> Board:
    """Count the cards."""
    state = state or Board()
    return state.replace(cards=state.cards + 1)


def stream(count: int) -> list[Event]:
    """Events of some tickets, in the order of their times; each ticket is always one team's."""
    draw = random.Random(7)
    tickets = [draw.randrange(TICKETS) for _ in range(count)]
    return [
        fact(f"e{number:04}", number, entity_id=f"T{ticket}", team=f"team{ticket % TEAMS}", add=1)
        for number, ticket in enumerate(tickets)
    ]


@pytest.fixture
def handlers() -> Iterable[Handler]:
    """The samples, of which one folds tickets."""
    return ALL


@pytest.fixture
def harness(
    mongo: MongoClient[Document], database: Database[Document], handlers: Iterable[Handler]
) -> Harness:
    """Small batches."""
    return Harness(mongo, database.name, handlers, batch_size=SIZE, take_along=0)


def submitted(harness: Harness, events: list[Event]) -> list[list[Event]]:
    """Submit; the events of each batch of tickets, in the order in which batches wait."""
    receipt = harness.submit(*events)
    assert sorted(receipt.accepted) == sorted(event.key for event in events)
    assert not receipt.duplicates
    of = {event.key: event for event in events}
    batches = [one for one in harness.waiting if one.handler == apply_ticket.name]
    return [[of[key] for key in one.events] for one in batches]


def late(harness: Harness, events: list[Event]) -> list[Event]:
    """Those that were folded after later ones of their document."""
    return [one for one in events if harness.row(one, apply_ticket.name).disorder is not None]


def test_each_document_is_in_one_batch_and_its_events_are_in_order(harness: Harness) -> None:
    """So no two workers write it, and none of its events comes late."""
    events = stream(harness.dispatcher.window)
    batches = submitted(harness, events)
    assert len(batches) >= harness.dispatcher.window / SIZE
    assert all(len(batch) <= SIZE for batch in batches)
    found = Counter(ticket for batch in batches for ticket in {one.entity_id for one in batch})
    assert len(found) == TICKETS
    assert set(found.values()) == {1}
    harness.drain()
    assert not late(harness, events)


def test_more_than_a_window_is_in_the_order_of_windows(harness: Harness) -> None:
    """A document's events of the second one come after those of the first."""
    events = stream(2 * harness.dispatcher.window + 5)
    submitted(harness, events)
    harness.drain()
    assert not late(harness, events)


def test_a_document_of_more_than_a_batch_is_cut_in_its_order(harness: Harness) -> None:
    """There is a limit to a transaction; and its batches follow each other."""
    events = stream(harness.dispatcher.window)
    hot = [one.model_copy(update={"entity_id": "T0"}) for one in events[: 3 * SIZE]]
    batches = submitted(harness, [*hot, *events[3 * SIZE :]])
    assert max(len(batch) for batch in batches) == SIZE
    about = [any(one.entity_id == "T0" for one in batch) for batch in batches]
    assert 3 <= sum(about) == len("".join("01"[one] for one in about).strip("0"))
    harness.drain()
    assert not late(harness, events)


def test_many_large_payloads_are_cut_by_their_bytes(harness: Harness) -> None:
    """However few events that leaves to a transaction."""
    events = [fact(f"e{n}", n, entity_id=f"T{n}", text="x" * 1_000) for n in range(SIZE)]
    with patch("pipeline.dispatch.BATCH_BYTES", 5_500):
        batches = submitted(harness, events)
    assert [len(batch) for batch in batches] == [5] * (SIZE // 5)


@pytest.mark.parametrize("handlers", [[*ALL, apply_board]])
def test_events_of_two_folds_stay_in_order_for_both(harness: Harness) -> None:
    """Teams tie their tickets together: there are three groups, each in its order."""
    events = stream(harness.dispatcher.window)
    batches = submitted(harness, events)
    teams = [{one.payload["team"] for one in batch} for batch in batches]
    assert all(len(own) == 1 for own in teams)
    harness.drain()
    assert not late(harness, events)
    rows = [harness.row(event, apply_board.name) for event in events]
    assert all(row.disorder is None for row in rows)


def test_of_two_that_have_one_identity_the_first_stays_whatever_they_are_about(
    harness: Harness,
) -> None:
    """Also where the second one would be cut into an earlier batch."""
    events = stream(harness.dispatcher.window - 1)
    first = events[3].model_copy(update={"entity_id": "T99"})
    second = events[3].model_copy(update={"entity_id": "A0"})
    receipt = harness.submit(*events[:3], first, *events[4:], second)
    assert receipt.conflicts == [second.key]
    assert len(receipt.accepted) == len(events)
    assert harness.store.records.events.load([first.key])[first.key].event.entity_id == "T99"
