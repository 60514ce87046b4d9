"""The parts of a document's past that folding makes anew, with stored rows in between that stay.

Pure. Events that come late together may lie far apart; what stands between them as it was is
neither made again nor written again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from pipeline.event import Event
from pipeline.temporal import Row, row_id
from pipeline.updates.ordering import same_fields


class Step(NamedTuple):
    """An event applied: its row, but for the end of its validity, which the next one tells."""

    event: Event
    prev: str | None
    state: dict[str, Any]
    changed: dict[str, Any] | None
    stored: Row | None


@dataclass(slots=True)
class Stretch:
    """Events applied one after the other, from one row that stays to the next.

    Attributes:
        prev: order of the row before them; None where they are the document's first.
        end: the end of that row's validity, as it is stored.
        steps: the events.
        settled: the row after them that stays as it is; None where they are the last.
    """

    prev: str | None
    end: datetime | None
    steps: list[Step] = field(default_factory=list)
    settled: Row | None = None

    def rows(self, key: str) -> list[Row]:
        """Rows, each valid until the next one's event."""
        rows: list[Row] = []
        end = self.settled.valid_from if self.settled else None
        for event, prev, state, changed, _ in reversed(self.steps):
            at = event.occurred_at
            rows.append(Row(key, event.order, event.key, prev, at, end, state, changed))
            end = at
        rows.reverse()
        return rows

    def closed(self, key: str) -> dict[str, datetime | None]:
        """By row id, the new end of validity of the row before, where it is another one."""
        end = None
        if self.steps:
            end = self.steps[0].event.occurred_at
        elif self.settled is not None:
            end = self.settled.valid_from
        if self.prev is None or end == self.end:
            return {}
        return {row_id(key, self.prev): end}


def is_another(row: Row, stored: Row) -> bool:
    """Whether a row is not as it is stored, in anything."""
    *place, state, changed = row
    *stored_place, stored_state, stored_changed = stored
    if place != stored_place or not same_fields(state, stored_state):
        return True
    return not same_fields(changed, stored_changed)


def moves_otherwise(row: Row, stored: Row) -> bool:
    """Whether its event found or left another state than the stored row says."""
    return not (same_fields(row.before, stored.before) and same_fields(row.state, stored.state))
