"""What an event finds when it comes: late, tie, gap, or nothing."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.disorder import Disorder, Mark, Newest, find_disorder
from pipeline.event import Event
from pipeline.numbering import Numbering
from tests.facts import NOON, fact

MINUTE = 60_000


def at(minute: float, seq: int | None = None, source: str = "desk", name: str = "") -> Event:
    """An event of this minute and number; its id tells both."""
    return fact(name or f"e{minute}-{seq}", minute, seq=seq, source=source)


def marks(
    events: Sequence[Event], newest: Newest | None = None, numbered_from: int | None = None
) -> list[str]:
    """The mark of each event, in the order in which they came."""
    numbering = None if numbered_from is None else Numbering(numbered_from)
    found = find_disorder(events, newest, numbering)
    return [found[e.key].mark.value if e.key in found else "" for e in events]


@pytest.mark.parametrize(
    ("arrived", "numbered_from", "expected"),
    [
        pytest.param([at(1)], None, [""], id="the first of a document"),
        pytest.param([at(1), at(2)], None, ["", ""], id="in order"),
        pytest.param([at(2), at(1)], None, ["", "late"], id="one that happened before"),
        pytest.param([at(3), at(1), at(2)], None, ["", "late", "late"], id="against the newest"),
        pytest.param([at(1), at(3), at(2), at(4)], None, ["", "", "late", ""], id="then in order"),
        pytest.param(
            [at(1, name="a"), at(1, name="b")], None, ["", "tie"], id="one time, and no number"
        ),
        pytest.param(
            [at(1, name="b"), at(1, name="a")], None, ["", "tie"], id="the key puts it first"
        ),
        pytest.param([at(1, 1), at(1, 2)], None, ["", ""], id="the number tells the order"),
        pytest.param([at(1, 2), at(1, 1)], None, ["", "tie"], id="the number tells it is earlier"),
        pytest.param(
            [at(1, 1), at(1, 2, "shop")], None, ["", "tie"], id="numbers of two sources say nothing"
        ),
        pytest.param([at(1), at(1, 2)], None, ["", "tie"], id="only one has a number"),
        pytest.param([at(1, 1), at(1)], None, ["", "tie"], id="only the other has a number"),
        pytest.param([at(0, 0), at(1, 1), at(2, 2)], 0, ["", "", ""], id="all numbers"),
        pytest.param([at(0, 0), at(2, 2)], 0, ["", "gap"], id="a number is missing"),
        pytest.param([at(1, 1)], 0, ["gap"], id="the first number is missing"),
        pytest.param([at(1, 1)], 1, [""], id="a source that begins with one"),
        pytest.param([at(0, 0)], 1, [""], id="a number below the first lacks none"),
        pytest.param(
            [at(0, 0), at(2, 2), at(1, 1), at(3, 3)], 0, ["", "gap", "late", ""], id="it comes late"
        ),
        pytest.param([at(0, 0), at(2, 2), at(3, 3)], 0, ["", "gap", ""], id="a gap is told once"),
        pytest.param([at(0, 0), at(0, 2)], 0, ["", "gap"], id="a gap at the same time is no tie"),
        pytest.param(
            [at(0, 0), at(9, 9), at(5, 5)], 0, ["", "gap", "late"], id="late comes before gap"
        ),
        pytest.param(
            [at(0, 0), at(1, 0, "shop"), at(2, 1), at(3, 1, "shop")],
            0,
            ["", "", "", ""],
            id="two sources that both number",
        ),
        pytest.param(
            [at(0, 0), at(1, 1, "shop")], 0, ["", "gap"], id="one's number is not the other's"
        ),
        pytest.param([at(0, 0), at(1), at(2, 1)], 0, ["", "", ""], id="one without a number"),
    ],
)
def test_each_event_has_the_mark_of_what_was_there(
    arrived: list[Event], numbered_from: int | None, expected: list[str]
) -> None:
    """The first that fits of late, tie and gap."""
    assert marks(arrived, numbered_from=numbered_from) == expected


def test_a_mark_tells_by_how_much_and_against_which_event() -> None:
    """Against the newest of all, not the one that came last."""
    newest, late, later = at(10, name="new"), at(3, name="a"), at(4, name="b")
    found = find_disorder([newest, late, later], None)
    assert found == {
        late.key: Disorder(Mark.LATE, newest.key, 7 * MINUTE),
        later.key: Disorder(Mark.LATE, newest.key, 6 * MINUTE),
    }


def test_what_the_stored_document_had_seen_counts_as_well() -> None:
    """Its order tells the event, whatever is in its id."""
    stood = at(5, 7, name="odd~id~with@signs")
    found = find_disorder([at(1), at(6)], Newest(stood.order, stood.occurred_at))
    assert found == {at(1).key: Disorder(Mark.LATE, stood.key, 4 * MINUTE)}


def test_a_gap_at_the_very_beginning_is_held_against_nothing() -> None:
    """There was no event."""
    assert find_disorder([at(3, 3)], None, Numbering(0)) == {at(3, 3).key: Disorder(Mark.GAP, None)}


stories = st.lists(
    st.tuples(st.integers(0, 4), st.one_of(st.none(), st.integers(0, 5)), st.sampled_from("xy")),
    max_size=12,
)


@given(stories, st.one_of(st.none(), st.integers(0, 2)), st.data())
def test_marks_are_those_of_a_walk_that_remembers_everything(
    story: list[tuple[int, int | None, str]], numbered_from: int | None, data: st.DataObject
) -> None:
    """And do not depend on where the arrivals are cut into batches."""
    events = [
        fact(f"e{n}", minute, seq=seq, source=source)
        for n, (minute, seq, source) in enumerate(story)
    ]
    cut = data.draw(st.integers(0, len(events)))
    numbering = None if numbered_from is None else Numbering(numbered_from)
    first = find_disorder(events[:cut], None, numbering)
    newest = max((e for e in events[:cut]), key=lambda e: e.order, default=None)
    before = Newest(newest.order, newest.occurred_at) if newest else None
    again = Numbering(numbered_from, numbering.stored()) if numbering is not None else None
    found = first | find_disorder(events[cut:], before, again)
    assert {key: one.mark.value for key, one in found.items()} == walked(events, numbered_from)


def walked(events: list[Event], numbered_from: int | None) -> dict[str, str]:
    """The marks by looking at all events that came before each one."""
    found = {}
    for n, event in enumerate(events):
        before = events[:n]
        latest = max((one.occurred_at for one in before), default=NOON - timedelta(days=1))
        ties = [one for one in before if one.occurred_at == latest == event.occurred_at]
        top = max(ties, key=lambda one: one.order, default=None)
        known = {(one.source, one.seq) for one in before}
        if event.occurred_at < latest:
            found[event.key] = "late"
        elif top is not None and not (
            event.seq is not None
            and top.seq is not None
            and event.source == top.source
            and event.seq > top.seq
        ):
            found[event.key] = "tie"
        elif (
            numbered_from is not None
            and event.seq is not None
            and event.seq > numbered_from
            and (event.source, event.seq - 1) not in known
        ):
            found[event.key] = "gap"
    return found
