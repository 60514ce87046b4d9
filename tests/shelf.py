"""A document and its rows in dicts, and a fold whose result hangs on the order of events."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pipeline import Event, State, action
from pipeline.control import ControlWord
from pipeline.declarations import Fold
from pipeline.folding import Folded, Kept, Past, Standing, fold
from pipeline.temporal import Row

NOON: Final = datetime(2024, 5, 1, 12, tzinfo=UTC)
KEY: Final = "acme:T1"


class Count(State):
    """Depends on the order of events, and often comes out alike all the same."""

    last: str = ""
    peak: int = 0
    total: int = 0


@action("counts.apply", on="*", table="counts", key="{tenant}:{entity_id}")
def apply_count(state: Count | None, event: Event) -> Count:
    """The last word, the highest number and the sum; `poison` raises, `needs` asks for a word."""
    calls.append(event.event_id)
    said = event.payload
    if said.get("poison"):
        raise ValueError("poison")
    if state is not None and state.last in refused:
        raise refused[state.last]
    if "needs" in said and (state is None or state.last != said["needs"]):
        raise ValueError(f"not {said['needs']}")
    state = state or Count()
    return state.replace(
        last=said.get("word", state.last),
        peak=max(state.peak, said.get("number", 0)),
        total=state.total + said.get("add", 0),
    )


calls: list[str] = []
refused: dict[str, ControlWord] = {}


def fact(event_id: str, minute: int, seq: int | None = None, **payload: Any) -> Event:
    """An event of the one document."""
    return Event(
        event_id=event_id,
        tenant="acme",
        source="desk",
        type="a",
        entity_id="T1",
        seq=seq,
        occurred_at=NOON + timedelta(minutes=minute),
        payload=payload,
    )


@dataclass
class Shelf:
    """What MongoDB would hold of one document: its state, its rows, and the events."""

    standing: Standing | None = None
    rows: dict[str, Row] = field(default_factory=dict)
    known: dict[str, Event] = field(default_factory=dict)
    action: Fold = apply_count

    def take(self, *events: Event) -> Folded:
        """Fold a batch in, as the executor does, and write what comes of it."""
        batch = sorted(events, key=lambda event: event.order)
        folded = fold(self.action, KEY, Past(self.standing, self.kept(batch[0].order)), batch)
        self.known |= {event.key: event for event in batch}
        if folded.changes:
            self._write(folded)
        return folded

    def lose(self, *events: Event) -> Folded:
        """Take events out, as an undo does."""
        past = Past(self.standing, self.kept(min(event.order for event in events)))
        folded = fold(self.action, KEY, past, [], {event.key for event in events})
        self._write(folded)
        return folded

    def kept(self, order: str) -> list[Kept]:
        """What is stored from an order on."""
        rows = sorted((row for row in self.rows.values() if row.order >= order), key=_order)
        return [Kept(row, self.known[row.event]) for row in rows]

    def _write(self, folded: Folded) -> None:
        for row in folded.removed:
            del self.rows[row.id]
        for row in folded.new:
            assert row.id not in self.rows
            self.rows[row.id] = row
        for row in folded.rewritten:
            assert row.id in self.rows
            self.rows[row.id] = row
        for row_id, end in folded.closed.items():
            self.rows[row_id] = ended(self.rows[row_id], end)
        self.standing = None
        if folded.state is not None:
            assert folded.order is not None
            assert folded.event_at is not None
            self.standing = Standing(folded.state, folded.order, folded.event_at)

    def chain(self) -> list[Row]:
        """The rows in order."""
        return sorted(self.rows.values(), key=_order)


def _order(row: Row) -> str:
    return row.order


def ended(row: Row, end: datetime | None) -> Row:
    """The row with another end of its validity."""
    return Row(
        key=row.key,
        order=row.order,
        event=row.event,
        prev=row.prev,
        valid_from=row.valid_from,
        valid_to=end,
        state=row.state,
        changed=row.changed,
    )


def shelf_of(*batches: list[Event]) -> Shelf:
    """A shelf that has taken these batches."""
    shelf = Shelf()
    for batch in batches:
        shelf.take(*batch)
    return shelf


def alike(one: Shelf, other: Shelf) -> bool:
    """Whether both hold the same state and the same rows."""
    return (one.standing, one.rows) == (other.standing, other.rows)
