"""Folding, with tables that are dicts: any arrival ends as all in order."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import Event, action, folding
from pipeline.errors import RefoldTooLarge
from pipeline.folding import Kept, Past, fold
from tests.shelf import KEY, NOON, Count, Shelf, alike, apply_count, calls, fact, shelf_of

facts = st.lists(
    st.fixed_dictionaries(
        {"minute": st.integers(0, 3), "seq": st.none() | st.integers(8, 11)},
        optional={
            "word": st.sampled_from("ab"),
            "number": st.integers(0, 3),
            "add": st.integers(-1, 1),
        },
    ),
    min_size=1,
    max_size=8,
).map(lambda items: [fact(f"e{n}", **item) for n, item in enumerate(items)])


@given(facts, st.data())
def test_any_batches_in_any_arrival_order_end_as_all_in_order(
    events: list[Event], data: st.DataObject
) -> None:
    """The same state and the very same rows, with ties in time and sequence."""
    arrivals = data.draw(st.permutations(events))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(events)), max_size=4)) | {len(events)})
    batches = [arrivals[a:b] for a, b in zip([0, *cuts], cuts, strict=False) if a < b]
    assert alike(shelf_of(*batches), shelf_of(events))


@given(facts, st.data())
def test_the_rows_are_a_chain_without_gap_or_overlap(
    events: list[Event], data: st.DataObject
) -> None:
    """Each names the one before it, begins where that ends, and tells the state it found."""
    chain = shelf_of(*([event] for event in data.draw(st.permutations(events)))).chain()
    assert len(chain) == len(events)
    assert [row.prev for row in chain] == [None, *(row.order for row in chain[:-1])]
    assert [row.valid_to for row in chain] == [*(row.valid_from for row in chain[1:]), None]
    assert [row.before for row in chain] == [None, *(row.state for row in chain[:-1])]


def test_events_in_order_are_new_rows_and_rewrite_nothing() -> None:
    """The row before gets its end, and that is all."""
    shelf = shelf_of([fact("e1", 1, add=1)])
    folded = shelf.take(fact("e2", 2, add=1))
    assert (folded.rewritten, folded.affected) == ([], [])
    assert list(folded.closed.values()) == [NOON + timedelta(minutes=2)]
    assert folded.state == {"last": "", "peak": 0, "total": 2}


def test_a_late_event_is_folded_where_it_belongs() -> None:
    """The later ones are folded again on what it left."""
    shelf = shelf_of([fact("e2", 2, word="b")])
    folded = shelf.take(fact("e1", 1, word="a", add=5))
    assert [row.event for row in folded.affected] == ["e2@acme/desk"]
    assert shelf.standing is not None
    assert shelf.standing.state == {"last": "b", "peak": 0, "total": 5}


def test_a_tie_in_time_is_settled_by_sequence_then_key() -> None:
    """Whichever came first."""
    first, second, third = fact("z", 1), fact("y", 1, 9, word="nine"), fact("x", 1, 10, word="ten")
    shelf = shelf_of([third], [second], [first])
    assert [row.event[0] for row in shelf.chain()] == ["z", "y", "x"]
    assert shelf.standing is not None
    assert shelf.standing.state["last"] == "ten"


def test_what_an_event_wrote_is_what_it_changed() -> None:
    """All fields of a new document, and only those that differ afterwards."""
    shelf = Shelf()
    assert shelf.take(fact("e1", 1)).wrote["e1@acme/desk"].paths == {"last", "peak", "total"}
    assert shelf.take(fact("e2", 2, add=1)).wrote["e2@acme/desk"].paths == {"total"}
    assert not shelf.take(fact("e3", 3)).wrote["e3@acme/desk"]


def test_folding_again_stops_where_nothing_can_differ_any_more() -> None:
    """A late event whose trace is lost in the next one costs two calls, not a hundred."""
    shelf = shelf_of([fact(f"e{n:03}", n, word=f"w{n}") for n in range(100)])
    calls.clear()
    folded = shelf.take(fact("late", 0, 5, word="late"))
    assert calls == ["late", "e001"]
    assert len(folded.rewritten) == 1


def test_a_late_event_that_changes_nothing_affects_no_row() -> None:
    """The next row gets another predecessor, and that is no change of state."""
    shelf = shelf_of([fact("e1", 1, add=1), fact("e3", 3, add=1), fact("e4", 4, add=1)])
    folded = shelf.take(fact("e2", 2))
    assert folded.affected == []
    assert [row.event for row in folded.rewritten] == ["e3@acme/desk"]


def test_an_event_that_raises_leaves_its_neighbours_as_if_it_were_not_there() -> None:
    """In order and late, at the beginning, between and at the end."""
    good = [fact(f"e{n}", n, add=n, word=str(n)) for n in (1, 3, 5)]
    for minute in (0, 2, 4, 6):
        bad = fact("bad", minute, poison=True)
        for batches in ([[*good, bad]], [good, [bad]], [good[2:], [bad, *good[:2]]]):
            shelf = Shelf()
            faults: set[str] = set()
            for batch in batches:
                faults |= set(shelf.take(*batch).faults)
            assert faults == {bad.key}
            assert alike(shelf, shelf_of(good))


def test_a_late_event_that_makes_a_later_one_fail_is_itself_the_fault() -> None:
    """What was applied stays; events of the batch that are in order go on."""
    before = [fact("e1", 1, word="a"), fact("e3", 3, needs="a", word="c")]
    late, on_time = fact("e2", 2, word="b"), fact("e4", 4, needs="c", add=1)
    shelf = shelf_of(before)
    folded = shelf.take(late, on_time)
    assert set(folded.faults) == {late.key}
    assert "not a" in str(folded.faults[late.key])
    assert alike(shelf, shelf_of([*before, on_time]))


def test_a_fold_that_returns_no_state_is_at_fault() -> None:
    """Forgetting to return is the usual cause."""

    @action("lost.apply", on="*", table="losts", key="{tenant}")
    def forget(state: Count | None, event: Event) -> None:
        return None

    event = fact("e1", 1)
    folded = fold(forget, KEY, Past(None), [event])  # type: ignore[arg-type]
    assert "returned None" in str(folded.faults[event.key])
    assert not folded.wrote


def test_folding_changes_nothing_that_it_was_given() -> None:
    """Pure: the same call again says the same."""
    shelf = shelf_of([fact("e1", 1, add=1), fact("e3", 3, add=1)])
    later = shelf.chain()[1:]
    past = Past(shelf.standing, shelf.kept(later[0].order))
    late = [fact("e2", 2, add=1)]
    one, other = (fold(apply_count, KEY, past, late) for _ in range(2))
    assert (one.new, one.rewritten, one.state) == (other.new, other.rewritten, other.state)
    assert shelf.chain()[1:] == later


@given(facts, st.data())
def test_events_taken_out_are_as_if_they_had_never_come(
    events: list[Event], data: st.DataObject
) -> None:
    """The same state and the very same rows; and nothing at all where all are taken out."""
    gone = data.draw(st.lists(st.sampled_from(events), min_size=1, unique_by=id))
    shelf = shelf_of(events)
    for event in gone:
        shelf.lose(event)
    left = [event for event in events if event not in gone]
    assert alike(shelf, shelf_of(left) if left else Shelf())


@given(facts, st.data())
def test_events_taken_out_together_are_as_one_by_one(
    events: list[Event], data: st.DataObject
) -> None:
    """One walk for all of them."""
    gone = data.draw(st.lists(st.sampled_from(events), min_size=1, unique_by=id))
    shelf = shelf_of(events)
    shelf.lose(*gone)
    left = [event for event in events if event not in gone]
    assert alike(shelf, shelf_of(left) if left else Shelf())


def test_what_can_not_be_applied_any_more_falls_with_what_is_taken_out() -> None:
    """It leaves no trace either, and what comes after it is folded without it."""
    events = [
        fact("e1", 1, word="a"),
        fact("e2", 2, needs="a", word="b", add=5),
        fact("e3", 3, add=1),
    ]
    shelf = shelf_of(events)
    folded = shelf.lose(events[0])
    assert set(folded.fallen) == {events[1].key}
    assert alike(shelf, shelf_of([events[2]]))


def test_no_more_is_read_than_can_differ() -> None:
    """The rows after the first that comes out as it was are not asked for."""
    events = [fact(f"e{n:03}", n, word=f"w{n}") for n in range(100)]
    shelf = shelf_of(events)
    asked: list[str] = []

    def kept(order: str) -> Iterator[Kept]:
        for one in shelf.kept(order):
            asked.append(one.event.event_id)
            yield one

    late = fact("late", 10, 5, word="late")
    folded = fold(apply_count, KEY, Past(shelf.standing, kept(late.order)), [late])
    assert shelf.standing is not None
    assert folded.state == shelf.standing.state
    assert asked == ["e011", "e012"]
    asked.clear()
    fold(apply_count, KEY, Past(shelf.standing, kept(events[20].order)), [], {events[20].key})
    assert asked == ["e020", "e021", "e022"]


def test_a_late_event_that_changes_too_many_rows_is_at_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those of the batch that are in order go on."""
    monkeypatch.setattr(folding, "MOST_ROWS", 10)
    before = [fact(f"e{n:03}", n, add=1) for n in range(20)]
    shelf = shelf_of(before)
    folded = shelf.take(fact("late", 2, 1, add=1), fact("next", 50, add=1))
    assert set(folded.faults) == {"late@acme/desk"}
    assert isinstance(folded.faults["late@acme/desk"], RefoldTooLarge)
    assert alike(shelf, shelf_of([*before, fact("next", 50, add=1)]))
    assert not shelf.take(fact("later", 12, add=1)).faults
