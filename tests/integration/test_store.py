"""Transactions: what is tried again, and what is told."""

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from pipeline.errors import Unavailable
from pipeline.store import Records, Store, Taken, connect
from tests.facts import Document


@pytest.fixture
def store(mongo: MongoClient[Document], database: Database[Document]) -> Store:
    """Give a store over a database of the test's own."""
    store = Store(mongo, database.name)
    store.prepare(["things"])
    return store


def test_a_document_that_is_there_again_and_again_is_told_and_not_waited_for(store: Store) -> None:
    """A race is over by the next try; a duplicate that stays is a fault."""
    tries = []

    def find_it_taken(_tx: Records) -> None:
        tries.append(1)
        raise Taken("always there")

    with pytest.raises(Taken):
        store.transact(find_it_taken)
    assert 1 < len(tries) <= 10


def test_a_handlers_own_error_is_not_tried_again(store: Store) -> None:
    """Only what the database says can be cured is."""
    tries = []

    def fail(_tx: Records) -> None:
        tries.append(1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.transact(fail)
    assert len(tries) == 1


def test_preparing_twice_is_harmless(store: Store) -> None:
    """Every process does it at its start."""
    store.prepare(["things"])
    assert "things" in store.database.list_collection_names()


def test_indexes_of_tables_are_made_once(store: Store) -> None:
    """In the order of their fields, however many processes start."""
    for _ in range(2):
        store.prepare(["things", "others"], {"things": [("lead", "_id"), ("valid_from",)]})
    made = store.database["things"].index_information()
    keys = [[name for name, _ in index["key"]] for index in made.values()]
    assert keys == [["_id"], ["lead", "_id"], ["valid_from"]]
    assert len(store.database["others"].index_information()) == 1


def test_an_address_where_nothing_answers_is_said_without_its_password() -> None:
    """One sentence, after a bounded wait."""
    with pytest.raises(Unavailable, match="does not answer") as told:
        connect("mongodb://someone:hidden@127.0.0.1:1/", timeout_seconds=0.2)
    assert "hidden" not in str(told.value)
