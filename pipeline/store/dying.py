"""What dead rows of the ledger have beside others: a signature, and an index by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pymongo import ASCENDING, IndexModel

from pipeline.signatures import signature_of

INDEXES: Final = [
    # Prevents a look at every dead letter when they are counted, and a pass over all of them for
    # those few that match. It is partial by a field that it holds, so that counting reads it
    # alone; the tenant comes after what there is less of, since what is not asked for is skipped
    # value by value. Only dead letters are in it.
    IndexModel(
        [
            ("state", ASCENDING),
            ("handler", ASCENDING),
            ("error.type", ASCENDING),
            ("error.signature", ASCENDING),
            ("tenant", ASCENDING),
            ("write_at", ASCENDING),
            ("_id", ASCENDING),
        ],
        name="dead_groups",
        partialFilterExpression={"state": "dead"},
    ),
]


def signed(error: Mapping[str, str]) -> dict[str, str]:
    """The error of a dead row with its signature, as it is stored."""
    return {**error, "signature": signature_of(error.get("message", ""))}
