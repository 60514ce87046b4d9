"""What persons did within a time is read by an index, and nothing else with it."""

from datetime import timedelta

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from tests.contract.test_index_use import operations, written_down
from tests.dashboards.pinned import ended, note
from tests.facts import NOON, Document
from tests.integration.harness import Harness

MANY = 400


@pytest.fixture
def busy(mongo: MongoClient[Document], database: Database[Document]) -> Harness:
    """Give a pipeline with a note and an operation's end a minute, the last of them at noon."""
    harness = Harness(mongo, database.name)
    records = harness.store.records
    for n in range(MANY):
        records.audit.add(note(NOON - timedelta(minutes=n), f"do-{n:03}"))
        records.operations.add(ended(NOON - timedelta(minutes=n), name=f"o{n:03}"))
    return harness


def test_what_was_done_in_a_time_is_read_alone(busy: Harness, database: Database[Document]) -> None:
    """Without a sort, whether all of it is shown, or the newest, or a page after another."""
    records = busy.store.records
    since, until = NOON - timedelta(minutes=300), NOON - timedelta(minutes=200)
    with written_down(database):
        first = records.audit.newest(limit=5, since=since, until=until)
        records.audit.newest(limit=5, since=since, until=until, before=first[-1].id)
        records.audit.newest(limit=500, since=NOON - timedelta(minutes=9))
        records.operations.ended(NOON - timedelta(minutes=9), limit=500)
        records.operations.ended(since, limit=5)
        asked = [one for one in operations(busy) if "docsExamined" in one]
    assert [one.action for one in first] == [f"do-{n}" for n in range(201, 206)]
    assert [one["nreturned"] for one in asked] == [5, 5, 10, 10, 5]
    assert [one["docsExamined"] for one in asked] == [5, 5, 10, 10, 5]
    assert max(one["keysExamined"] for one in asked) <= 12
    assert not any(one.get("hasSortStage") for one in asked)
