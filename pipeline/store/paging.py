"""Reading the ledger page by page, in an index that has time and then id."""

from __future__ import annotations

from datetime import datetime
from typing import Any


def beyond(
    write_at: datetime | None, row: str | None, *, newest_first: bool
) -> list[dict[str, Any]]:
    """What lies beyond a row of this time and id, as two ranges of the index in their order.

    Everything, where there is no such row. As one condition with $or it reads well, but
    MongoDB may begin at the beginning with it.
    """
    if write_at is None or row is None:
        return [{}]
    sign = "$lt" if newest_first else "$gt"
    return [
        {"write_at": write_at, "_id": {sign: row}},
        {"write_at": {sign: write_at}},
    ]


def between(since: datetime | None, until: datetime | None) -> dict[str, Any]:
    """The condition that a row was written in this time."""
    given = {"$gte": since, "$lt": until}
    moments = {sign: moment for sign, moment in given.items() if moment is not None}
    return {"write_at": moments} if moments else {}
