"""Auditing a ledger: one row for each event and handler that the registry asks for."""

import random
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import Change, Event, State, Update, action, inc, observer
from pipeline.registry import Registry
from pipeline.replay import Audit, Failure, audit
from pipeline.replay.auditing import (
    GIVEN_UP,
    KEPT,
    OUT,
    VOIDED,
    WAITING,
    WITH_EFFECT,
    Finding,
)
from pipeline.store.ledger import FINAL, LedgerRow, LedgerState
from pipeline.store.ledger import OUT as STORED_OUT

Row = tuple[str, str, str]


class Ticket(State):
    """No fields; nothing is run here."""


@action("tickets.apply", on="ticket.*", table="tickets", key="{tenant}:{entity_id}")
def apply_ticket(state: Ticket | None, _event: Event) -> Ticket:
    """Nothing."""
    return state or Ticket()


@observer("owners.count", after=apply_ticket, table="owners", key="{tenant}")
def count_owner(_change: Change[Ticket], _event: Event) -> Update:
    """One."""
    return inc(n=1)


@observer("deep.count", after=count_owner, table="deep", key="{tenant}")
def count_deep(_change: Change[Ticket], _event: Event) -> Update:
    """One, below another."""
    return inc(n=1)


@observer("seen.count", after=apply_ticket, table="seen", key="{tenant}")
def count_seen(_change: Change[Ticket], _event: Event) -> Update:
    """One, beside another."""
    return inc(n=1)


@action("pages.count", on=("page.*", "ticket.viewed"), table="pages", key="{tenant}")
def count_page(_event: Event) -> Update:
    """One."""
    return inc(n=1)


REGISTRY = Registry([count_deep, apply_ticket, count_owner, count_seen, count_page])
CHAIN = ("tickets.apply", "owners.count", "deep.count", "seen.count")


def fact(event_id: str, kind: str = "ticket.changed") -> Event:
    """An event of this type."""
    return Event(
        event_id=event_id,
        tenant="acme",
        source="desk",
        type=kind,
        entity_id="T1",
        occurred_at=datetime(2024, 5, 1, tzinfo=UTC),
    )


EVENTS = [fact("e1"), fact("e2", "ticket.viewed"), fact("p1", "page.viewed"), fact("x1", "other")]
ROWS: list[Row] = [
    *((EVENTS[0].key, handler, "done") for handler in CHAIN),
    *((EVENTS[1].key, handler, "skipped") for handler in (*CHAIN, "pages.count")),
    (EVENTS[2].key, "pages.count", "done"),
]


def counts(found: Audit) -> dict[str, int]:
    """What was found, by kind, where there is any."""
    kinds = ("lost", "doubled", "unexpected", "unfinished")
    return {kind: n for kind in kinds if (n := getattr(found, kind).count)}


def audited(rows: list[Any], *failures: tuple[str, str]) -> Audit:
    """Audit these rows."""
    return audit(REGISTRY, EVENTS, rows, failures)


def test_a_ledger_with_every_row_once_is_clean() -> None:
    """Whether the handlers had anything to do or not."""
    found = audited(ROWS)
    assert found.clean
    assert (found.events, found.asked, found.rows, counts(found)) == (4, 10, 10, {})


@given(st.randoms(use_true_random=False))
def test_rows_may_come_in_any_order_and_events_more_than_once(draw: random.Random) -> None:
    """Of several events with one key the first counts."""
    rows = draw.sample(ROWS, len(ROWS))
    again = [fact("e1", "page.viewed"), fact("x1")]
    assert audit(REGISTRY, [*EVENTS, *EVENTS, *again], rows).clean


@pytest.mark.parametrize("at", range(len(ROWS)))
def test_any_row_that_is_not_there_is_lost(at: int) -> None:
    """Told with event and handler."""
    rows = ROWS[:at] + ROWS[at + 1 :]
    found = audited(rows)
    assert counts(found) == {"lost": 1}
    assert found.lost.first == [Finding(*ROWS[at][:2], None)]
    assert not found.clean


@pytest.mark.parametrize("at", range(len(ROWS)))
def test_any_row_that_is_there_twice_is_doubled(at: int) -> None:
    """And its state counts no second time."""
    event, handler, _ = ROWS[at]
    found = audited([*ROWS, (event, handler, "retrying")])
    assert counts(found) == {"doubled": 1}
    assert found.doubled.first == [Finding(event, handler, "retrying")]


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(("e9@acme/desk", "tickets.apply", "done"), id="an unknown event"),
        pytest.param((EVENTS[0].key, "other.count", "done"), id="an unknown handler"),
        pytest.param((EVENTS[0].key, "pages.count", "dead"), id="another type's handler"),
        pytest.param((EVENTS[2].key, "owners.count", "done"), id="an observer without its action"),
        pytest.param((EVENTS[3].key, "tickets.apply", "skipped"), id="a type nobody asks for"),
    ],
)
def test_a_row_that_nobody_asked_for_is_unexpected(row: Row) -> None:
    """Whatever its state."""
    found = audited([*ROWS, row])
    assert (counts(found), found.unexpected.first) == ({"unexpected": 1}, [Finding(*row)])


@pytest.mark.parametrize("state", ["retrying", "snoozed", "dead", "cancelled", "strange"])
def test_a_row_without_effect_is_unfinished(state: str) -> None:
    """Where the sequential run had one."""
    event, handler, _ = ROWS[0]
    found = audited([(event, handler, state), *ROWS[1:]])
    assert (counts(found), found.unfinished.first) == (
        {"unfinished": 1},
        [Finding(event, handler, state)],
    )


FAILED = (EVENTS[0].key, "owners.count")


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        pytest.param({"owners.count": "dead"}, {}, id="given up"),
        pytest.param({"owners.count": "cancelled"}, {}, id="cancelled"),
        pytest.param({"owners.count": "retrying"}, {"unfinished": 1}, id="not given up yet"),
        pytest.param({"owners.count": "snoozed"}, {"unfinished": 1}, id="put off"),
        pytest.param({"owners.count": "done"}, {"unexpected": 1}, id="had an effect"),
        pytest.param({"owners.count": "skipped"}, {"unexpected": 1}, id="did not fail"),
        pytest.param({}, {"lost": 1}, id="no row"),
        pytest.param(
            {"owners.count": "dead", "deep.count": "done"}, {"unexpected": 1}, id="one below it"
        ),
    ],
)
def test_where_a_handler_fails_its_row_has_to_say_so(
    states: dict[str, str], expected: dict[str, int]
) -> None:
    """And none below it has a row."""
    rows = [row for row in ROWS if row[0] != FAILED[0]]
    rows += [(FAILED[0], name, "done") for name in ("tickets.apply", "seen.count")]
    rows += [(FAILED[0], name, state) for name, state in states.items()]
    found = audited(rows, FAILED)
    assert (counts(found), found.asked) == (expected, 9)


def test_where_a_fold_fails_nothing_else_of_its_chain_has_a_row() -> None:
    """Another action of the same event has."""
    event = EVENTS[1].key
    rows = [row for row in ROWS if row[0] != event]
    rows += [(event, "tickets.apply", "dead"), (event, "pages.count", "done")]
    failure = Failure(event, "tickets.apply", "ValueError: no")
    assert audit(REGISTRY, EVENTS, rows, [failure]).clean
    assert not audit(REGISTRY, EVENTS, rows).clean


def test_rows_of_the_ledger_are_taken_as_they_are() -> None:
    """They begin with event, handler and state."""
    row = LedgerRow(
        event=fact("p1").key,
        handler="pages.count",
        state=LedgerState.DONE,
        key="acme",
        wrote=inc(n=1),
        attempt=1,
        job="j",
        write_at=datetime(2024, 5, 1, tzinfo=UTC),
        lag_ms=0,
    )
    assert audit(REGISTRY, [fact("p1", "page.viewed")], [row]).clean


def test_the_states_are_those_of_the_ledger() -> None:
    """Every final one is known, and a dead letter, which waits for a person."""
    final = {state.value for state in FINAL} | {LedgerState.DEAD.value}
    assert final == WITH_EFFECT | GIVEN_UP | {VOIDED}
    assert LedgerState.WAITING.value == WAITING
    assert {state.value for state in STORED_OUT} == OUT


def test_all_findings_are_counted_and_the_first_are_kept() -> None:
    """Of each kind."""
    events = [fact(f"e{n}") for n in range(KEPT)]
    found = audit(REGISTRY, events, [])
    assert (found.lost.count, len(found.lost.first)) == (4 * KEPT, KEPT)


def test_findings_are_told_in_words() -> None:
    """Counts first."""
    lines = str(audited([*ROWS[1:], ROWS[1], (EVENTS[3].key, "pages.count", "done")])).splitlines()
    assert lines == [
        "11 of 10 rows for 4 events; 1 lost, 1 doubled, 1 unexpected, 0 unfinished",
        "  lost: e1@acme/desk in tickets.apply: no row",
        "  doubled: e1@acme/desk in owners.count: done",
        "  unexpected: x1@acme/desk in pages.count: done",
    ]
