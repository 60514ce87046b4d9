"""Extremes and sets found again by MongoDB are those that adding all up in memory finds."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.database import Database

from pipeline.store import LedgerRow, LedgerState, Store
from pipeline.updates import Update, add_to_set, inc, maximum, minimum, set_on_insert
from tests.facts import Document

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
NUMBERS = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([0.5, -1.5, Decimal("1.25"), 2**62]),
)
ORDERED = st.one_of(
    NUMBERS, st.sampled_from(["", "a", "b"]), st.integers(0, 3).map(lambda n: NOON + timedelta(n))
)
ITEMS = st.sampled_from(["a", "b", 1, 1.5, True, None, {"a": 1}, ["a"], NOON])


@st.composite
def updates(draw: st.DrawFn) -> Update:
    """Extremes, sets and sums, on paths that other updates may change otherwise."""
    update = inc(n=1) | set_on_insert(kind="x")
    if draw(st.booleans()):
        update |= maximum({"top.of": draw(ORDERED)})
    if draw(st.booleans()):
        update |= draw(st.sampled_from([maximum, minimum]))(both=draw(ORDERED))
    if draw(st.booleans()):
        update |= minimum(low=draw(ORDERED))
    if draw(st.booleans()):
        update |= add_to_set({"words": draw(st.lists(ITEMS, max_size=3))})
    return update


OPERATORS = {"top.of": "max", "low": "min", "words": "add_to_set", "both": "max"}


def row(n: int, wrote: Update, **changes: Any) -> LedgerRow:
    """A row of the one handler and document."""
    fields = {"handler": "h.one", "state": LedgerState.DONE, "key": "k"} | changes
    return LedgerRow(
        event=f"e{n}@t/s", wrote=wrote, attempt=1, job="j", write_at=NOON, lag_ms=0, **fields
    )


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(wrote=st.lists(updates(), max_size=6))
def test_mongodb_finds_what_adding_up_in_memory_finds(
    mongo: MongoClient[Document], database: Database[Document], wrote: list[Update]
) -> None:
    """Of all types, in MongoDB's order; what is not this document's, or without effect, is not."""
    store = Store(mongo, database.name)
    store.prepare([])
    ledger = store.records.ledger
    mongo[database.name]["ledger"].delete_many({})
    others = [
        row(100, maximum({"top.of": NOON + timedelta(9)}), key="other"),
        row(101, maximum({"top.of": NOON + timedelta(9)}), handler="h.two"),
        row(102, maximum({"top.of": NOON + timedelta(9)})).withdrawn(LedgerState.VOIDED),
    ]
    ledger.put([*others, *(row(n, update) for n, update in enumerate(wrote))])
    expected = Update.nothing()
    for update in wrote:
        wanted = [p for p, name in OPERATORS.items() if update.operators.get(p) == name]
        expected |= update.only(wanted)
    found = ledger.total("h.one", "k", OPERATORS)
    assert found.paths == expected.paths
    one, other = found.apply(None), expected.apply(None)
    assert sorted(map(repr, one.pop("words", []))) == sorted(map(repr, other.pop("words", [])))
    assert _plain(one) == _plain(other)


def _plain(value: Any) -> Any:
    """Equal numbers as one: of which type they are follows from which of them came first."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return str(Decimal(value).normalize()) if isinstance(value, int | float | Decimal) else value
