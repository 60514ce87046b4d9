"""Payloads: small ones stand in their event's row, large ones apart."""

from collections.abc import Collection
from typing import Any, Final

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from pipeline.errors import PayloadExpired
from pipeline.event import decode_payload, encode_payload
from pipeline.store import Store
from pipeline.store.event_rows import BODY_BYTES
from pipeline.store.events import Events
from tests.facts import NOON, Document, fact, lose_payload

SMALL: Final = encode_payload({"note": "s" * (BODY_BYTES - len('{"note":""}'))})
LARGE: Final = encode_payload({"note": "s" * (BODY_BYTES + 1 - len('{"note":""}'))})


@pytest.fixture
def store(mongo: MongoClient[Document], database: Database[Document]) -> Store:
    """Give a store over a database of the test's own."""
    store = Store(mongo, database.name)
    store.prepare([])
    return store


@pytest.mark.parametrize(("body", "apart"), [(SMALL, 0), (LARGE, 1)])
def test_a_payload_of_more_than_a_kibibyte_stands_apart_from_its_event(
    store: Store, body: bytes, apart: int
) -> None:
    """Either way it comes back as it was, by whatever way the event is read."""
    event = fact("e1")
    events = store.records.events
    events.insert([(event, body)], NOON)
    assert store.database.payloads.count_documents({}) == apart
    read = events.load([event.key])
    for found in (
        read,
        events.unread(read),
        events.with_payloads(read),
        events.of_entity(event.tenant, event.entity_id),
        events.newest(1),
    ):
        assert found[event.key].event.payload == decode_payload(body)


def test_events_of_both_kinds_are_read_together(store: Store) -> None:
    """One query for the payloads that stand apart, and none for the others."""
    events = store.records.events
    bodies = {fact(f"e{n}").key: (fact(f"e{n}"), [SMALL, LARGE][n % 2]) for n in range(6)}
    events.insert(list(bodies.values()), NOON)
    read = events.with_payloads(events.load(list(bodies)))
    assert {key: record.event.payload for key, record in read.items()} == {
        key: decode_payload(body) for key, (_, body) in bodies.items()
    }


def test_what_a_handler_did_to_a_payload_the_next_one_does_not_see(store: Store) -> None:
    """A record that is handed on is as if it had just been read."""
    events = store.records.events
    event = fact("e1")
    events.insert([(event, SMALL)], NOON)
    first = events.load([event.key])
    first[event.key].event.payload["note"] = "changed"
    assert events.unread(first)[event.key].event.payload == decode_payload(SMALL)


def test_payloads_that_are_gone_are_asked_for_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One query for all events that were loaded together, whether or not it finds any."""
    events = [fact(f"e{n}", n) for n in range(3)]
    store.records.events.insert([(event, LARGE) for event in events], NOON)
    store.database.payloads.delete_many({})
    real, asked = Events._bodies, list[int]()  # noqa: SLF001 - each call is one query

    def bodies(self: Events, keys: Collection[str]) -> Any:
        asked.append(len(keys))
        return real(self, keys)

    monkeypatch.setattr(Events, "_bodies", bodies)
    for record in store.records.events.load([event.key for event in events]).values():
        with pytest.raises(PayloadExpired):
            _ = record.event.payload
    assert asked == [3]


@pytest.mark.parametrize("body", [SMALL, LARGE])
def test_a_payload_that_is_gone_is_told(store: Store, body: bytes) -> None:
    """Wherever it stood."""
    event = fact("e1")
    store.records.events.insert([(event, body)], NOON)
    lose_payload(store.database, event.key)
    with pytest.raises(PayloadExpired, match=event.key):
        _ = store.records.events.load([event.key])[event.key].event.payload
