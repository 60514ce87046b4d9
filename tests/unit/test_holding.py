"""Which events are let in now, and which wait for the number before theirs."""

from collections.abc import Sequence
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from pipeline.event import Event
from pipeline.holding import Admission, Held, HoldEnd, admit
from pipeline.numbering import Numbering
from tests.facts import NOON, fact

SECOND = timedelta(seconds=1)


def numbers(*seqs: int | None, source: str = "desk") -> list[Event]:
    """Events with these numbers, in this order."""
    return [
        fact(f"{source}{n}-{seq}", seq or 0, seq=seq, source=source) for n, seq in enumerate(seqs)
    ]


def seqs(events: Sequence[Event]) -> list[int | None]:
    """Their numbers."""
    return [event.seq for event in events]


def admitted(events: Sequence[Event], *, known: int = -1, patient: bool = True) -> Admission:
    """What is decided of events of a document that has seen the numbers up to `known`."""
    numbering = Numbering(0, [["desk", 0, known]] if known >= 0 else [])
    return admit(events, numbering, lambda _event: patient)


def test_events_in_order_are_let_in_as_they_came() -> None:
    """Those without a number as well."""
    admission = admitted(numbers(0, None, 1, 2))
    assert (seqs(admission.events), admission.waiting) == ([0, None, 1, 2], [])
    assert admission.alone == set()


def test_an_event_waits_for_its_predecessor_and_follows_it() -> None:
    """And all that wait for it."""
    admission = admitted(numbers(2, 3, 1, 0, 4))
    assert (seqs(admission.events), admission.waiting) == ([0, 1, 2, 3, 4], [])


def test_what_lacks_its_predecessor_still_waits_on() -> None:
    """And what comes after it."""
    admission = admitted(numbers(0, 3, 2, 4, 6), known=-1)
    assert (seqs(admission.events), sorted(seqs(admission.waiting), key=str)) == ([0], [2, 3, 4, 6])


def test_an_event_that_may_not_wait_is_let_in_alone_and_so_are_its_followers() -> None:
    """They have their predecessor: it."""
    events = numbers(5, 6)
    admission = admitted(events, known=0, patient=False)
    assert (seqs(admission.events), admission.alone) == ([5, 6], {events[0].key})


def test_the_numbers_of_another_source_fill_no_gap() -> None:
    """Each counts by itself."""
    admission = admitted([*numbers(1), *numbers(0, 1, source="shop")], known=-1)
    assert [e.source for e in admission.events] == ["shop", "shop"]
    assert [e.source for e in admission.waiting] == ["desk"]


def test_two_events_of_one_number_both_wait_and_both_follow() -> None:
    """A source may number badly."""
    admission = admitted(numbers(1, 1, 0))
    assert (seqs(admission.events), admission.waiting) == ([0, 1, 1], [])


@given(st.permutations(list(range(8))), st.integers(0, 7))
def test_any_arrival_ends_in_the_order_of_the_numbers_up_to_what_is_missing(
    order: list[int], gone: int
) -> None:
    """Nothing is let in twice or lost."""
    events = [event for event in numbers(*order) if event.seq != gone]
    admission = admitted(events)
    assert seqs(admission.events) == list(range(gone))
    assert set(seqs(admission.waiting)) == set(range(gone + 1, 8))


def test_waiting_ends_once() -> None:
    """What came of it the first time stays."""
    held = Held(NOON, NOON + SECOND, 3).ended(HoldEnd.PREDECESSOR, NOON + SECOND / 2)
    assert (held.end, held.ms) == (HoldEnd.PREDECESSOR, 500)
    assert held.ended(HoldEnd.GRACE, NOON + 9 * SECOND) == held
    assert Held(NOON, NOON, 3).ended(HoldEnd.GRACE, NOON - SECOND).ms == 0
