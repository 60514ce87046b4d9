"""Comparing tables: what is a difference, and what is none."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from bson import Decimal128, Int64

from pipeline import (
    Change,
    Event,
    State,
    Update,
    action,
    add_to_set,
    inc,
    maximum,
    minimum,
    observer,
    set_on_insert,
)
from pipeline.registry import Registry
from pipeline.replay import Difference, Differences, Tables, compare, replay
from pipeline.replay.comparing import KEPT, Kind
from pipeline.replay.values import ABSENT
from pipeline.tables import Document, as_stored

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
Live = dict[str, list[Document]]


class Ticket(State):
    """Values of several kinds."""

    points: int = 0
    rate: float = 0.0
    tags: tuple[str, ...] = ()
    more: dict[str, int] = {}  # noqa: RUF012 - pydantic copies a field's default
    parts: tuple[dict[str, int], ...] = ()


@action("tickets.apply", on="ticket.*", table="tickets", key="{tenant}:{entity_id}")
def apply_ticket(state: Ticket | None, event: Event) -> Ticket:
    """What the payload names is taken over."""
    return (state or Ticket()).replace(**event.payload)


@observer("tenants.count", after=apply_ticket, table="tenants", key="{tenant}")
def count_tenant(change: Change[Ticket], event: Event) -> Update:
    """Counters at two depths, extremes, a set, and what a document is made with."""
    return (
        inc({"changes": 1, "of.ticket": 1, "balance": Decimal("0.5")})
        | maximum(most=change.after.points, last_at=event.occurred_at)
        | minimum(least=change.after.points)
        | add_to_set(tags=list(change.after.tags))
        | set_on_insert(made_by=event.event_id, made_with={"n": 0}, made_of=["x", "y"])
    )


REGISTRY = Registry([apply_ticket, count_tenant])


def fact(at: int, **payload: Any) -> Event:
    """The event at this minute past noon, of ticket T0 or T1."""
    return Event(
        event_id=f"e{at}",
        tenant="acme",
        source="desk",
        type="ticket.changed",
        entity_id=f"T{at % 2}",
        occurred_at=NOON + timedelta(minutes=at),
        payload=payload,
    )


@pytest.fixture
def expected() -> Tables:
    """Tables of a few events."""
    return replay(
        REGISTRY,
        [
            fact(0, points=3, tags=["b"], parts=[{"a": 1}, {"b": 2}]),
            fact(1, points=0, rate=1.0, tags=["a"], more={"x": 1, "y": 2}),
            fact(2, points=0),
        ],
    )


@pytest.fixture
def live(expected: Tables) -> Live:
    """Give the same tables as a live run would have them in MongoDB, to be changed."""
    times = {"read_at": NOON, "write_at": NOON}
    documents = {name: list(expected.documents(name).values()) for name in expected}
    return {
        name: [
            as_stored(deepcopy(document) | {"_sync": document["_sync"] | times})
            for document in found
        ]
        for name, found in documents.items()
    }


def the(live: Live, table: str) -> Document:
    """The first document of a table."""
    return live[table][0]


def found(differences: Differences) -> list[tuple[str, str, Any, Any]]:
    """What was found: table, field, what should be there and what is."""
    return [(d.table, d.path or d.kind.value, d.expected, d.actual) for d in differences.first]


def test_equal_tables_have_no_differences(expected: Tables, live: Live) -> None:
    """And every document was looked at."""
    differences = compare(expected, live)
    assert differences.equal, str(differences)
    counted = {name: (table.expected, table.actual) for name, table in differences.tables.items()}
    assert counted == {"tickets": (2, 2), "tickets_changes": (3, 3), "tenants": (1, 1)}


@pytest.mark.parametrize("table", ["tickets", "tickets_changes", "tenants"])
def test_a_document_that_is_not_there_is_missing(expected: Tables, live: Live, table: str) -> None:
    """In every kind of table."""
    gone = live[table].pop()
    differences = compare(expected, live)
    assert not differences.equal
    assert differences.tables[table].missing == 1
    assert differences.first == [Difference(table, gone["_id"], Kind.MISSING)]


@pytest.mark.parametrize("table", ["tickets", "tickets_changes", "tenants"])
def test_a_document_that_should_not_be_there_is_unexpected(
    expected: Tables, live: Live, table: str
) -> None:
    """In every kind of table."""
    live[table].append(the(live, table) | {"_id": "acme:T9|x"})
    differences = compare(expected, live)
    assert (differences.equal, differences.tables[table].unexpected) == (False, 1)
    assert differences.first == [Difference(table, "acme:T9|x", Kind.UNEXPECTED)]


@pytest.mark.parametrize("table", ["tickets", "tickets_changes", "tenants"])
def test_a_document_that_comes_twice_is_unexpected(
    expected: Tables, live: Live, table: str
) -> None:
    """It does not stand for one that is missing either."""
    live[table].append(the(live, table))
    differences = compare(expected, live)
    assert (differences.equal, differences.tables[table].unexpected) == (False, 1)
    assert differences.tables[table].missing == 0


def test_a_table_that_is_not_given_misses_all_and_an_unknown_one_is_all_unexpected(
    expected: Tables, live: Live
) -> None:
    """Nothing is passed over in silence."""
    live["others"] = live.pop("tickets")
    differences = compare(expected, live)
    assert differences.tables["tickets"].missing == 2
    assert differences.tables["others"].unexpected == 2


Change_ = Callable[[Live], None]


def changed(table: str, path: str, value: Any) -> Any:
    """A case: one field of the table's first document holds another value, or none."""

    def change(live: Live) -> None:
        *above, last = path.split(".")
        inner = the(live, table)
        for name in above:
            inner = inner[name]
        if value is ABSENT:
            del inner[last]
        else:
            inner[last] = value

    return pytest.param(table, path, change, id=f"{table}.{path}={value!r}")


@pytest.mark.parametrize(
    ("table", "path", "change"),
    [
        changed("tickets", "points", 1),
        changed("tickets", "points", 0.0),
        changed("tickets", "points", False),
        changed("tickets", "points", ABSENT),
        changed("tickets", "rate", Int64(0)),
        changed("tickets", "tags", ["a", "b"]),
        changed("tickets", "tags", "b"),
        changed("tickets", "parts", [{"a": 1}, {"b": 2, "c": 3}]),
        changed("tickets", "parts", [{"a": 1}, {}]),
        changed("tickets", "parts", [{"a": 1}, {"b": 2.0}]),
        changed("tickets", "parts", [{"a": 1}]),
        changed("tickets", "parts", [{"a": 1}, {"b": 2}, {"b": 2}]),
        changed("tickets", "parts", [{"b": 2}, {"a": 1}]),
        changed("tickets", "more", {"x": 1}),
        changed("tickets", "more", ABSENT),
        changed("tickets", "extra", 0),
        changed("tickets", "_sync.order", "2024"),
        changed("tickets", "_sync.event_at", NOON),
        changed("tickets", "_sync.event_at", ABSENT),
        changed("tickets", "_sync.more", 1),
        changed("tickets", "_sync", ABSENT),
        changed("tickets_changes", "valid_to", None),
        changed("tickets_changes", "valid_from", NOON + timedelta(milliseconds=1)),
        changed("tickets_changes", "prev", "2024"),
        changed("tickets_changes", "key", "acme:T1"),
        changed("tickets_changes", "event", "e9@acme/desk"),
        changed("tickets_changes", "changed", {}),
        changed("tickets_changes", "state.points", 4),
        changed("tickets_changes", "_sync.event_at", NOON + timedelta(minutes=1)),
        changed("tenants", "changes", 2),
        changed("tenants", "changes", ABSENT),
        changed("tenants", "balance", Decimal("1.51")),
        changed("tenants", "of.ticket", 4),
        changed("tenants", "of.other", 1),
        changed("tenants", "other", False),
        changed("tenants", "other", 0.0),
        changed("tenants", "other", {}),
        changed("tenants", "other", ""),
        changed("tenants", "least", ABSENT),
        changed("tenants", "tags", ["a"]),
        changed("tenants", "tags", ["a", "b", "a"]),
        changed("tenants", "tags", ABSENT),
        changed("tenants", "made_by", "e1"),
        changed("tenants", "made_of", ["y", "x"]),
        changed("tenants", "made_with.n", ABSENT),
        changed("tenants", "made_with.m", 0),
        changed("tenants", "tenant", ABSENT),
        changed("tenants", "last_at", NOON),
        changed("tenants", "_sync.contributions", 2),
        changed("tenants", "_sync.contributions", ABSENT),
        changed("tenants", "_sync.spare", 0),
    ],
)
def test_a_field_with_another_value_is_a_difference(
    expected: Tables, live: Live, table: str, path: str, change: Change_
) -> None:
    """One difference, at the innermost field, and nothing else."""
    change(live)
    differences = compare(expected, live)
    assert not differences.equal
    (difference,) = differences.first
    assert (difference.table, difference.kind) == (table, Kind.DIFFERENT)
    assert difference.path == path or difference.path.startswith(f"{path}.")
    assert (differences.tables[table].different, differences.tables[table].fields) == (1, 1)


@pytest.mark.parametrize(
    ("table", "path", "change"),
    [
        changed("tickets", "_sync.read_at", NOON + timedelta(days=1)),
        changed("tickets_changes", "_sync.write_at", NOON + timedelta(days=1)),
        changed("tenants", "_sync.write_at", ABSENT),
        changed("tickets", "_sync.fence", 7),
        changed("tickets", "_sync.numbers", [["desk", 0, 3]]),
        changed("tenants", "_sync.event_at", NOON + timedelta(days=1)),
        changed("tenants", "other", 0),
        changed("tenants", "other", Decimal("0.0")),
        changed("tenants", "other", {"deep": {"er": Int64(0)}, "n": Decimal128("0")}),
        changed("tenants", "of.other", 0),
        changed("tenants", "tags", ["a", "b"]),
        changed("tenants", "tags", ["b", "a"]),
        changed("tenants", "least", 0.0),
        changed("tenants", "changes", Decimal(3)),
        changed("tenants", "changes", Decimal128("3.00")),
        changed("tickets", "points", Int64(0)),
        changed("tickets", "_sync.event_at", NOON.replace(tzinfo=None) + timedelta(minutes=2)),
    ],
)
def test_what_two_right_runs_may_differ_in_is_no_difference(
    expected: Tables, live: Live, table: str, path: str, change: Change_
) -> None:
    """Nor is the form in which a driver gives a value."""
    change(live)
    differences = compare(expected, live)
    assert differences.equal, f"{table}.{path}: {differences}"


def test_the_order_of_keys_is_no_difference(expected: Tables, live: Live) -> None:
    """At any depth."""
    turned = {name: [reversed_keys(document) for document in live[name]] for name in live}
    assert list(turned["tickets"][1]["more"]) == ["y", "x"]
    assert compare(expected, turned).equal


def reversed_keys(value: Any) -> Any:
    """The same with its keys the other way round."""
    if isinstance(value, dict):
        return {name: reversed_keys(value[name]) for name in reversed(value)}
    return value


def test_a_counter_that_came_to_zero_here_may_be_absent_there() -> None:
    """Zero and absent mean the same, whichever side has it."""
    only = Registry(
        [action("sums.count", on="*", table="sums", key="{tenant}")(lambda e: inc(e.payload))]
    )
    both = replay(only, [fact(0, n=1, m=1), fact(1, n=-1)])
    document = {"_id": "acme", "tenant": "acme", "m": 1, "_sync": {"contributions": 2}}
    assert compare(both, {"sums": [document]}).equal
    assert not compare(both, {"sums": [document | {"m": 0}]}).equal


def test_all_differences_are_counted_and_the_first_are_kept(expected: Tables, live: Live) -> None:
    """Of each table."""
    for document in live["tickets_changes"]:
        document["state"] |= {f"f{n}": n for n in range(KEPT)}
    live["tenants"].clear()
    differences = compare(expected, live)
    table = differences.tables["tickets_changes"]
    assert (table.different, table.fields, len(table.first)) == (3, 3 * KEPT, KEPT)
    assert len(compare(expected, live, keep=1).first) == 2
    assert compare(expected, live, keep=0).tables["tickets_changes"].fields == 3 * KEPT
    assert not compare(expected, live, keep=0).equal


def test_documents_are_looked_at_one_by_one(expected: Tables, live: Live) -> None:
    """They may be millions."""
    held = 0

    def stream(documents: list[Document]) -> Iterator[Document]:
        nonlocal held
        for document in documents:
            held += 1
            yield document

    assert compare(expected, {name: stream(live[name]) for name in live}).equal
    assert held == 6


def test_differences_are_told_in_words(expected: Tables, live: Live) -> None:
    """A line for each table and each difference."""
    the(live, "tickets")["points"] = 5
    the(live, "tickets")["note"] = "new"
    live["tenants"].clear()
    assert str(compare(expected, live)).splitlines() == [
        "tickets: 2 of 2 documents; 0 missing, 0 unexpected, 1 different",
        "  tickets[acme:T0].points is 5, should be 0",
        "  tickets[acme:T0].note is 'new', should be absent",
        "tickets_changes: 3 of 3 documents; 0 missing, 0 unexpected, 0 different",
        "tenants: 0 of 1 documents; 1 missing, 0 unexpected, 0 different",
        "  tenants[acme] is missing",
    ]
