"""A bare loop: reads a batch of events from its input, writes all of it in one transaction.

Says `ready` once it is connected. It ends with its input.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pymongo import MongoClient, WriteConcern
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.read_concern import ReadConcern

from benchmarks.peers.limit_documents import Document, Documents, documents_of
from benchmarks.peers.place import Place
from benchmarks.peers.work import DURABLE, Message
from pipeline.store.commands import insert, update
from pipeline.tables import CODEC


def write_batch(client: MongoClient[Document], database: Database[Document], said: Any) -> None:
    """Write what is kept of a batch, all of it or nothing; again where another was quicker."""
    with client.start_session() as session:
        session.with_transaction(
            lambda ours: _write(database, ours, said),
            read_concern=ReadConcern("snapshot"),
            write_concern=WriteConcern("majority", j=True),
        )


def _write(database: Database[Document], session: ClientSession, events: Sequence[Message]) -> None:
    read_at = datetime.now(UTC)
    keys = list({f"{event['tenant']}:{event['entity_id']}" for event in events})
    appointments = database["rs_appointments"]
    found = appointments.find({"_id": {"$in": keys}}, session=session, batch_size=len(keys) + 1)
    made = documents_of(events, {document["_id"]: document for document in found}, read_at)
    for table, documents in made.inserted.items():
        insert(database[table], documents, session)
    for table, statements in _statements(made).items():
        update(database[table], statements, session)


def _statements(made: Documents) -> dict[str, list[Document]]:
    """Update statements by collection; the counters, which others may want, come last."""
    whole = [
        {"q": {"_id": key}, "u": new, "upsert": True} for key, new in made.appointments.items()
    ]
    ends = [
        {"q": {"_id": row}, "u": {"$set": {"valid_to": end}}} for row, end in made.closed.items()
    ]
    statements = {"rs_appointments": whole, "rs_appointment_changes": ends}
    for table, updates in made.added.items():
        statements[table] = [
            {
                "q": {"_id": key},
                "u": {operator: fields for operator, fields in change.items() if fields},
                "upsert": True,
            }
            for key, change in updates.items()
        ]
    return statements


def main() -> None:
    """Write batches until the input ends."""
    place = Place.from_environment()
    with MongoClient[Document](place.where.mongo_url, **DURABLE) as client:
        database = client.get_database(place.database, codec_options=CODEC)
        client.admin.command("ping")
        print("ready", flush=True)
        for line in sys.stdin.buffer:
            write_batch(client, database, json.loads(line))


if __name__ == "__main__":
    main()
