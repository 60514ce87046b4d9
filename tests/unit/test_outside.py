"""What a chaos run says of effects: once each, again only by faults, and none unasked."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline import Event
from pipeline.disorder import Disorder, Mark
from pipeline.registry import load
from pipeline.replay import Tables, replay
from pipeline.store import LedgerRow, LedgerState
from pipeline.updates import Update
from tests.facts import fact
from workers.chaos import Verdict
from workers.chaos.handlers import __name__ as own_handlers
from workers.chaos.handlers import apply_account, tell
from workers.chaos.outside import Outside, asked_for, judge_outside
from workers.chaos.verdict import judge_effects

STATUSES = ("open", "closed", "closed", "open", "closed")
"""Of one account's events; the second and the fifth enter `closed`."""
CLOSING = (1, 4)
LATE = Disorder(Mark.LATE, "e9@acme/desk", 1_000)


def events(accounts: int = 1) -> list[Event]:
    """The same few events for each account."""
    return [
        fact(f"{account}-{at}", at, type="account.changed", entity_id=f"a{account}", status=status)
        for account in range(accounts)
        for at, status in enumerate(STATUSES)
    ]


def expected(of: Iterable[Event]) -> Tables:
    """The sequential run of these events."""
    return replay(load([own_handlers]), of)


def key_of(event: Event) -> str:
    """The key under which an event is told."""
    return f"{event.key}|{tell.name}"


def keys(of: list[Event]) -> list[str]:
    """Keys of those that enter `closed`."""
    return [key_of(event) for at, event in enumerate(of) if at % len(STATUSES) in CLOSING]


def row(event: Event, state: LedgerState, handler: str = tell.name, **more: Any) -> LedgerRow:
    """A row of the ledger."""
    now = datetime(2024, 5, 1, tzinfo=UTC)
    given: dict[str, Any] = {"job": "one", **more}
    return LedgerRow(
        event.key, handler, state, None, Update.nothing(), 1, write_at=now, lag_ms=1, **given
    )


def ledger(of: list[Event], **more: Any) -> list[LedgerRow]:
    """The rows of effects as they have to be."""
    owed = keys(of)
    states = {True: LedgerState.DONE, False: LedgerState.SKIPPED}
    return [row(event, states[key_of(event) in owed], **more) for event in of]


def judged(
    of: list[Event], came: Iterable[str], rows: list[LedgerRow], repeats: int = 0
) -> Outside:
    """What is found."""
    return judge_outside(Counter(came), rows, asked_for(expected(of), rows), repeats)


def test_effects_that_are_done_once_and_noted_are_right() -> None:
    """Also under faults."""
    told = events(3)
    found = judged(told, keys(told), ledger(told))
    assert (found.lost, found.doubled, found.details()) == (0, 0, [])
    assert (found.judged, found.keys, found.repeated) == (True, 6, 0)


def test_a_build_that_never_does_an_effect_is_caught() -> None:
    """Its ledger says of every event that there was nothing to do."""
    told = events(3)
    found = judged(told, [], [row(event, LedgerState.SKIPPED) for event in told])
    assert found.missing == sorted(keys(told))
    assert found.lost == 6
    assert found.details()


def test_an_effect_that_is_noted_and_never_came_is_missing() -> None:
    """Whatever the events ask for."""
    told = events()
    assert judged(told, keys(told)[1:], ledger(told)).missing == keys(told)[:1]


def test_an_effect_that_came_and_is_not_noted_is_wrong() -> None:
    """It would be done again."""
    told = events()
    found = judged(told, keys(told), [row(event, LedgerState.SKIPPED) for event in told])
    assert found.unnoted == keys(told)
    assert found.lost == 2


def test_a_key_that_no_row_knows_is_one_too_many() -> None:
    """As is one of an event for which there is nothing to tell."""
    told = events()
    found = judged(told, [*keys(told), "stranger", key_of(told[0])], ledger(told))
    assert found.unasked == sorted(["stranger", key_of(told[0])])
    assert found.doubled == 2


def test_without_a_fault_no_effect_is_done_again() -> None:
    """Fifty times even less."""
    told = events()
    found = judged(told, keys(told) * 50, ledger(told))
    assert found.too_often == sorted(keys(told))
    assert found.doubled == 49 * 2


def test_a_fault_explains_one_more_run() -> None:
    """And no two of them."""
    told = events(10)
    assert not judged(told, keys(told) * 2, ledger(told), repeats=1).doubled
    assert judged(told, keys(told) * 3, ledger(told), repeats=1).doubled


def test_a_fault_does_not_explain_that_every_effect_is_done_again() -> None:
    """Only as many as one run does: here each account's are a run of their own."""
    told = events(10)
    rows = [again._replace(job=again.event[0]) for again in ledger(told)]
    found = judged(told, keys(told) * 2, rows, repeats=3)
    assert (found.repeated, found.explained) == (20, 6)
    assert found.doubled == 14
    assert "came again 20 times" in "\n".join(found.details())


@pytest.mark.parametrize("late", range(len(STATUSES)))
def test_nothing_is_asked_of_events_after_one_that_came_late(late: int) -> None:
    """They may have seen another past; those before it, and itself, have not."""
    told = events()
    rows = [row(told[late], LedgerState.DONE, apply_account.name, disorder=LATE)]
    asked = asked_for(expected(told), rows)
    assert asked.owed == {key for key in keys(told) if key in map(key_of, told[: late + 1])}
    assert asked.owed | asked.idle == set(map(key_of, told[: late + 1]))


def test_a_late_event_of_one_account_says_nothing_of_others() -> None:
    """All that is told of them has to be there."""
    told = events(2)
    rows = [row(told[0], LedgerState.DONE, apply_account.name, disorder=LATE)]
    assert asked_for(expected(told), rows).owed == set(keys(told)[2:])


class _Store:
    """A store with nothing but a ledger."""

    def __init__(self, rows: list[LedgerRow]) -> None:
        self.records = self.ledger = self
        self._rows = rows

    def scan(self) -> Iterable[LedgerRow]:
        """Every row."""
        return iter(self._rows)


def verdict_on(folder: Path, came: Iterable[str], faults: int) -> Verdict:
    """The verdict on a run of two workers with so many faults, in which these keys came."""
    told = events(10)
    verdict = Verdict(1, events=len(told))
    verdict.faults["kill"] = faults
    sink, store = folder / "outside", _Store(ledger(told))
    sink.write_text("".join(f"{key}\n" for key in came))
    judge_effects(verdict, store, expected(told), sink, workers=2)  # type: ignore[arg-type]
    return verdict


def test_each_fault_may_have_hit_every_worker(tmp_path: Path) -> None:
    """Where there was none, nothing is explained."""
    told = keys(events(10))
    assert verdict_on(tmp_path, told * 3, faults=1).clean
    assert not verdict_on(tmp_path, told * 4, faults=1).clean
    assert not verdict_on(tmp_path, told * 2, faults=0).clean
    without = verdict_on(tmp_path, told, faults=0)
    assert without.clean
    assert without.reservations == ["no fault was injected"]


def test_a_run_in_which_nothing_was_sent_is_not_clean() -> None:
    """It has tried nothing."""
    verdict = Verdict(1)
    assert not verdict.clean
    assert "no event" in verdict.details()[0]


def test_of_other_handlers_effects_are_not_judged(tmp_path: Path) -> None:
    """And the verdict says so."""
    told = [fact("e1")]
    verdict = Verdict(1, events=1)
    verdict.faults["kill"] = 1
    tables = replay(load(["tests.integration.sample_handlers"]), told)
    judge_effects(verdict, _Store([]), tables, tmp_path / "absent", workers=2)  # type: ignore[arg-type]
    assert verdict.clean
    assert not verdict.to_json()["effects_judged"]
    assert "not judged" in verdict.reservations[0]
