"""One database for all tests of a session, emptied after each of them.

To make its collections and indexes anew takes ten times as long as most tests do.
"""

from typing import Any

from pymongo.database import Database

from pipeline.store.client import INDEXES


def empty(database: Database[dict[str, Any]]) -> None:
    """Take all documents out of a database.

    Collections stay where they are as `Store.prepare` makes them for any handlers; one with
    indexes or options that it has from a test goes.
    """
    for found in database.list_collections():
        name = found["name"]
        collection = database[name]
        if found["options"] or _indexes(collection.list_indexes()) != _of_ours(name):
            collection.drop()
        else:
            collection.delete_many({})


def _indexes(found: Any) -> set[str]:
    return {index["name"] for index in found}


def _of_ours(name: str) -> set[str]:
    return {"_id_", *(model.document["name"] for model in INDEXES.get(name, ()))}
