"""Folding several late events that lie apart, and telling which of them is at fault."""

import pytest

from pipeline import Cancel, Retry, Snooze, folding
from pipeline.control import ControlWord
from pipeline.errors import LaterEventFails, RefoldTooLarge
from tests.shelf import NOON, alike, calls, fact, refused, shelf_of


def test_the_handler_is_not_run_on_what_stands_between_late_events() -> None:
    """Each of them costs two calls, however far they are apart; the rows between stay."""
    events = [fact(f"e{n:03}", n, word=f"w{n}") for n in range(100)]
    shelf = shelf_of(events)
    late = [fact(f"l{n}", n, 5, word=f"l{n}") for n in (10, 50, 90)]
    calls.clear()
    folded = shelf.take(*late)
    assert calls == ["l10", "e011", "l50", "e051", "l90", "e091"]
    assert [row.event[:4] for row in folded.rewritten] == ["e011", "e051", "e091"]
    assert list(folded.closed.values()) == [event.occurred_at for event in late]
    assert alike(shelf, shelf_of([*events, *late]))


def test_a_late_event_and_one_in_order_leave_what_stands_between_them() -> None:
    """The document stands as the last one says, and the row before that one ends there."""
    events = [fact(f"e{n}", n, word=f"w{n}") for n in range(9)]
    late, next_ = fact("late", 1, 5, word="late"), fact("next", 20, add=1)
    for last in (next_, fact("bad", 20, poison=True)):
        shelf = shelf_of(events)
        shelf.take(late, last)
        assert alike(shelf, shelf_of([*events, late, *([last] if last is next_ else [])]))


def test_an_event_taken_out_at_the_end_leaves_what_stands_between() -> None:
    """The document stands as the last row that is left, though that was not made again."""
    events = [fact(f"e{n}", n, word=f"w{n}") for n in range(9)]
    shelf = shelf_of(events)
    shelf.lose(events[2], events[8])
    assert alike(shelf, shelf_of([*events[:2], *events[3:8]]))


def test_late_events_that_change_few_rows_each_are_not_too_many_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows between them are not counted: they are not written."""
    monkeypatch.setattr(folding, "MOST_ROWS", 2)
    events = [fact(f"e{n:03}", n, word=f"w{n}") for n in range(40)]
    late = [fact("l1", 1, 5, word="l"), fact("l2", 30, 5, word="l")]
    shelf = shelf_of(events)
    assert not shelf.take(*late).faults
    assert alike(shelf, shelf_of([*events, *late]))


def test_several_late_events_that_are_too_much_together_have_to_come_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """None of them is at fault: alone each is applied."""
    monkeypatch.setattr(folding, "MOST_ROWS", 3)
    peaks = {3: 10, 9: 20}
    events = [fact(f"e{n:02}", n, number=peaks.get(n, 0)) for n in range(12)]
    late = [fact("l1", 0, 5, number=5), fact("l2", 6, 5, number=15)]
    shelf = shelf_of(events)
    with pytest.raises(RefoldTooLarge):
        shelf.take(*late)
    for event in late:
        assert not shelf.take(event).faults
    assert alike(shelf, shelf_of([*events, *late]))


def test_late_events_of_which_one_makes_a_later_one_fail_have_to_come_apart() -> None:
    """Only that one is at fault."""
    before = [fact("e1", 1, word="a"), fact("e3", 3, needs="a", word="c")]
    guilty, innocent = fact("e2", 2, word="b"), fact("e0", 0, number=7)
    shelf = shelf_of(before)
    with pytest.raises(LaterEventFails):
        shelf.take(guilty, innocent)
    assert set(shelf.take(guilty).faults) == {guilty.key}
    assert not shelf.take(innocent).faults
    assert alike(shelf, shelf_of([*before, innocent]))


@pytest.mark.parametrize("word", [Cancel("no"), Snooze(NOON), Retry(5)], ids=repr)
def test_a_word_of_a_later_event_is_not_meant_for_the_late_one(word: ControlWord) -> None:
    """It is a failure, which says whose word it was."""
    shelf = shelf_of([fact("e3", 3, word="c")])
    late = fact("e2", 2, word="refused")
    refused["refused"] = word
    try:
        fault = shelf.take(late).faults[late.key]
    finally:
        refused.clear()
    assert type(fault) is LaterEventFails
    assert str(fault).startswith("e3@acme/desk can't be applied after it: ")
    assert str(word) in str(fault)


def test_events_that_fall_are_counted_among_the_rows_that_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A row that is removed takes as much of a transaction as one that is rewritten."""
    monkeypatch.setattr(folding, "MOST_ROWS", 10)
    first = fact("e00", 0, word="a")
    needing = [fact(f"e{n:02}", n, needs="a") for n in range(1, 11)]
    with pytest.raises(RefoldTooLarge):
        shelf_of([first, *needing]).lose(first)
    assert len(shelf_of([first, *needing[:9]]).lose(first).fallen) == 9
