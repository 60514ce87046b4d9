"""The limit writes what our product writes: or it would be no limit of it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from benchmarks import flights
from benchmarks.peers.limit import Limit, Shares
from benchmarks.peers.ours import Ours
from benchmarks.peers.peer import Peer
from benchmarks.peers.place import Place
from pipeline import Event
from pipeline.tables import CODEC
from tests.acceptance.conftest import wait_for
from workers.bootstrap import Servers

pytestmark = pytest.mark.uncounted

Document = dict[str, Any]

FLIGHTS: Final = 300
ONE_BY_ONE: Final = 5
COLLECTIONS: Final = (
    "events",
    "payloads",
    "ledger",
    "rs_appointments",
    "rs_appointment_changes",
    "rs_lead_global_conversions",
    "rs_tenant_totals",
)
# When and by which run something was written differs from run to run.
OF_THE_RUN: Final = frozenset(
    {"received_at", "write_at", "written_at", "read_at", "locked_at", "created_at"}
    | {"lag_ms", "job", "fence", "worker"}
)
BACKGROUND: Final = "verification.run"


@pytest.fixture(scope="module")
def events() -> list[Event]:
    """Give more events than fit into one batch, in the order of their times."""
    try:
        return list(flights.stream(flights.data_file(), FLIGHTS))
    except flights.FlightsMissingError as error:
        pytest.skip(str(error))


def kept(database: Database[Document], collection: str) -> dict[str, Document]:
    """Read a collection; of what differs from run to run only that it is there, and its type."""
    return {document["_id"]: _blurred(document) for document in database[collection].find()}


def _blurred(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {
        name: type(held).__name__ if name in OF_THE_RUN else _blurred(held)
        for name, held in value.items()
    }


def work_off(peer: Peer, place: Place, events: list[Event], workers: int) -> None:
    """Run a subject on the events: most of them in bulk, the last ones one by one."""
    with peer.running(place, workers) as session:
        session.submit(events[:-ONE_BY_ONE])
        wait_for(lambda: session.done() >= len(events) - ONE_BY_ONE, "the bulk is done")
        for event in events[-ONE_BY_ONE:]:
            session.submit_one(event)
        wait_for(lambda: session.done() == len(events), "all events are done")


def test_the_limit_writes_the_documents_that_our_product_writes(
    mongo_url: str,
    redis_url: str,
    redis_server: object,
    database: Database[Document],
    mongo: MongoClient[Document],
    tmp_path: Path,
    events: list[Event],
) -> None:
    """Field by field in all collections; the records of batches have the same fields."""
    where = Servers(mongo_url, redis_url)
    ours = mongo.get_database(database.name, codec_options=CODEC)
    bare = mongo.get_database(f"{database.name}_bare", codec_options=CODEC)
    try:
        # Two of our workers overtake each other: events are late then, and healed.
        work_off(Ours(), Place(where, ours.name, tmp_path), events, workers=1)
        work_off(Limit(), Place(where, bare.name, tmp_path), events, workers=2)
        assert len(kept(bare, "events")) == len(events)
        for collection in COLLECTIONS:
            written, wanted = kept(bare, collection), kept(ours, collection)
            assert written.keys() == wanted.keys(), collection
            for key, document in wanted.items():
                assert written[key] == document
        assert batch_shapes(bare) == batch_shapes(ours)
        for collection in (*COLLECTIONS, "batches"):
            indexes = bare[collection].index_information()
            assert indexes == ours[collection].index_information()
    finally:
        mongo.drop_database(bare.name)


def batch_shapes(database: Database[Document]) -> set[tuple[tuple[str, Any], ...]]:
    """Read which kinds of batch records there are: how events fell into batches is by chance.

    A verification in the background is no work of the events.
    """
    return {
        tuple(sorted((name, str(value)) for name, value in document.items() if name != "_id"))
        for document in kept(database, "batches").values()
        if document["handler"] != BACKGROUND
    }


def test_an_event_that_is_late_is_refused(
    mongo_url: str, redis_url: str, database: Database[Document], tmp_path: Path
) -> None:
    """The loops know of no order but that in which they are given events."""
    early, late = (
        Event(
            event_id=f"e{hour}",
            tenant="acme",
            source="desk",
            type="appointment.scheduled",
            entity_id="T1",
            occurred_at=datetime.fromisoformat(f"2024-05-01T{hour}:00:00+00:00"),
            payload={"lead": "L", "channel": "C"},
        )
        for hour in ("10", "11")
    )
    place = Place(Servers(mongo_url, redis_url), database.name, tmp_path)
    with Limit().running(place, 1) as session:
        session.submit([late])
        wait_for(lambda: session.done() == 1, "the first event is done")
        session.submit([early])
        log = tmp_path / "logs" / "limit-1.log"
        wait_for(lambda: "is late" in log.read_text(), "the loop has said why it ended")
    assert database["events"].count_documents({}) == 1


def test_a_tenants_events_go_to_one_loop_and_loops_get_alike_many() -> None:
    """So no two loops add to the same totals, and none is idle."""
    tenants = "aabbbbccccccccddd"
    events = [
        Event(
            event_id=f"e{number}",
            tenant=tenant,
            source="desk",
            type="appointment.scheduled",
            entity_id="T1",
            occurred_at=datetime.fromisoformat("2024-05-01T10:00:00+00:00"),
        )
        for number, tenant in enumerate(tenants)
    ]
    shares = Shares(2)
    first, second = shares.of(events)
    assert {event.tenant for event in first} == {"c"}
    assert [event for event in events if event not in first] == second
    again = shares.of(events[:1])
    assert again == [[], events[:1]]
