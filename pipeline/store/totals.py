"""What all contributions of a handler to one document come to, as far as no minus finds it.

MongoDB looks through the contributions itself: only the extremes and the sets come back,
however many contributions there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pymongo.client_session import ClientSession
from pymongo.collection import Collection

from pipeline.updates import Update

_ACCUMULATORS: Final = {"max": "$max", "min": "$min", "add_to_set": "$addToSet"}
"""By operator of an update, the accumulator that finds what all together come to."""


def total(
    ledger: Collection[dict[str, Any]],
    rows: dict[str, Any],
    operators: Mapping[str, str],
    session: ClientSession | None,
) -> Update:
    """What these rows of the ledger come to on some paths.

    Args:
        ledger: the collection.
        rows: which rows.
        operators: by path, the operator by which it is changed: max, min or add_to_set.
        session: the transaction.
    """
    fields = {
        # Paths may hold dots, which names of groups may not.
        f"path{at}": {_ACCUMULATORS[name]: _value(path, name)}
        for at, (path, name) in enumerate(operators.items())
    }
    stages = [{"$match": rows}, {"$group": {"_id": None, **fields}}]
    group = next(iter(ledger.aggregate(stages, session=session)), {})
    found = Update.nothing()
    for at, (path, name) in enumerate(operators.items()):
        value = group.get(f"path{at}")
        if value is None:
            continue
        # Of sets, every set that was added; what they hold together is one.
        for one in value if name == "add_to_set" else [value]:
            found |= Update.from_stored({name: {path: one}})
    return found


def _value(path: str, operator: str) -> dict[str, Any]:
    """What a row's update says on a path by this operator; missing where it says nothing."""
    return {"$getField": {"field": {"$literal": path}, "input": f"$wrote.{operator}"}}
