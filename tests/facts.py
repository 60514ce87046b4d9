"""Events of tests: little facts about tickets."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pymongo.database import Database

from pipeline.event import Event

Document = dict[str, Any]

NOON: Final = datetime(2024, 5, 1, 12, tzinfo=UTC)


def fact(event_id: str, minute: float = 0, **fields: Any) -> Event:
    """An event of ticket T1 of tenant acme, `minute` minutes past noon, unless told otherwise.

    What is no field of the envelope goes into the payload.
    """
    envelope: Document = {
        "event_id": event_id,
        "tenant": "acme",
        "source": "desk",
        "type": "ticket.changed",
        "entity_id": "T1",
        "occurred_at": NOON + timedelta(minutes=minute),
    }
    payload = {name: fields.pop(name) for name in set(fields) - set(Event.model_fields)}
    return Event(**(envelope | {"payload": payload} | fields))


def lose_payload(database: Database[Document], key: str) -> None:
    """Let an event's payload be stored no longer, wherever it stands."""
    database["events"].update_one({"_id": key}, {"$unset": {"body": True}})
    database["payloads"].delete_one({"_id": key})
