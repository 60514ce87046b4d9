"""Which numbers a document has seen."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipeline.numbering import MOST_RANGES, MOST_SOURCES, Numbering
from tests.facts import fact


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 30)), max_size=40),
    st.integers(0, 3),
)
def test_ranges_know_what_a_set_of_all_numbers_knows(
    numbers: list[tuple[str, int]], first: int
) -> None:
    """In any order, twice too, and after a stay in a document."""
    numbering = Numbering(first)
    for source, number in numbers:
        numbering.add_number(source, number)
        numbering = Numbering(first, numbering.stored())
    known = set(numbers)
    for source in "abc":
        for number in range(33):
            lacks = number > first and (source, number - 1) not in known
            assert numbering.lacks_before(source, number) == lacks, (source, number)
    for source in "ab":
        ranges = [one[1:] for one in numbering.stored() if one[0] == source]
        flat = [n for low, high in ranges for n in range(int(low), int(high) + 1)]
        assert flat == sorted({n for s, n in known if s == source})
        assert all(int(one[1]) + 1 < int(two[0]) for one, two in pairwise(ranges))


def test_numbers_without_a_gap_are_one_range() -> None:
    """However many."""
    numbering = Numbering(0)
    for number in range(1000):
        numbering.add(fact(f"e{number}", seq=number))
    assert numbering.stored() == [["desk", 0, 999]]


def test_an_event_without_a_number_lacks_nothing_and_adds_nothing() -> None:
    """Not all events of a source need have one."""
    numbering = Numbering(0)
    numbering.add(fact("e1"))
    assert (numbering.lacks(fact("e2")), numbering.stored()) == (False, [])


def test_gaps_beyond_the_most_are_closed_the_oldest_first() -> None:
    """A source that only seems to number must not make the document grow."""
    numbering = Numbering(0)
    for number in range(0, 4 * MOST_RANGES, 2):
        numbering.add_number("desk", number)
    stored = numbering.stored()
    assert len(stored) == MOST_RANGES
    assert stored[0][1] == 0
    assert not numbering.lacks_before("desk", 2)
    assert numbering.lacks_before("desk", 4 * MOST_RANGES)


def test_sources_beyond_the_most_are_not_looked_at() -> None:
    """They lack nothing, and take no room."""
    numbering = Numbering(0)
    for n in range(MOST_SOURCES + 5):
        numbering.add_number(f"s{n}", 7)
    assert len(numbering.stored()) == MOST_SOURCES
    assert numbering.lacks_before("s0", 7)
    assert not numbering.lacks_before(f"s{MOST_SOURCES}", 7)


def test_a_document_from_before_its_events_were_numbered_counts_as_complete() -> None:
    """Up to the newest event in it."""
    numbering = Numbering.up_to(0, fact("e~5", 5, seq=5).order)
    assert numbering.stored() == [["desk", 0, 5]]
    assert Numbering.up_to(0, fact("e5", 5).order).stored() == []
    assert Numbering.up_to(9, fact("e5", 5, seq=5).order).stored() == []


def test_a_copy_is_apart() -> None:
    """What is added to one is not in the other."""
    numbering = Numbering(0)
    numbering.add_number("desk", 0)
    copy = numbering.copy()
    copy.add_number("desk", 1)
    assert numbering.stored() == [["desk", 0, 0]]
