"""Corruption planted by hand, so that what a verification finds can be held against it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, Final

from pipeline.registry import Registry
from pipeline.store import Store
from pipeline.tables import Document

REMOVED: Final = 0.2
"""Share of documents that are removed; the others are changed."""


def documents(store: Store, registry: Registry) -> Iterator[tuple[str, Document]]:
    """Every document of every table that a handler writes, with its table."""
    for table in registry.tables():
        for document in store.scan(table):
            yield table, document


def plant(store: Store, registry: Registry, seed: int, count: int) -> set[tuple[str, str]]:
    """Change or remove so many documents, of tables of folds, of their rows and derived ones.

    Returns:
        Table and id of each.
    """
    draw = random.Random(seed)
    ids = [(table, document["_id"]) for table, document in documents(store, registry)]
    planted = set()
    for table, id_ in draw.sample(ids, min(count, len(ids))):
        collection = store.database[table]
        if draw.random() < REMOVED:
            collection.delete_one({"_id": id_})
        else:
            document = collection.find_one({"_id": id_}) or {}
            changed = corrupt(document, draw)
            if _without_zeros(changed) == _without_zeros(document):
                continue
            collection.replace_one({"_id": id_}, changed)
        planted.add((table, id_))
    return planted


def corrupt(document: Document, draw: random.Random) -> Document:
    """The document with one of its values changed, or one removed or added."""
    changed = dict(document)
    name = draw.choice([name for name in document if name not in ("_id", "_sync")])
    way = draw.randrange(3)
    if way == 0:
        changed[f"{name}_not_there"] = 1
    elif way == 1:
        del changed[name]
    else:
        changed[name] = _other(changed[name])
    return changed


def _other(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return "corrupt"
    if isinstance(value, int | float):
        return value + 7
    if isinstance(value, list):
        return [*value, "corrupt"]
    if isinstance(value, dict):
        return {**value, "corrupt": 7}
    return f"corrupt {value}"


def _without_zeros(document: Document) -> Document:
    """A counter at zero is one that never was, so to remove it corrupts nothing."""
    return {name: value for name, value in document.items() if value != 0}
