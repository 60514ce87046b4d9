"""Properties that hold for all updates and documents."""

import re
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC
from typing import Any, Final

import bson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.errors import UpdateError
from pipeline.tables import CODEC, Document
from pipeline.updates import (
    Joined,
    Update,
    add_to_set,
    assign,
    inc,
    maximum,
    minimum,
    set_on_insert,
)

PATHS: Final = ("a", "b", "c.a", "c.b", "d.e.f")

integers = st.integers(-(2**40), 2**40)
amounts = st.one_of(integers, st.decimals(-999, 999, places=2))
orderable = st.one_of(
    integers,
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(-9, 9, places=1),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=2),
    st.datetimes(timezones=st.just(UTC)),
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), orderable),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
    ),
    max_leaves=3,
)
# One operator for each path, as a handler would have it: what is drawn can always be merged.
OPERATORS: Final[tuple[Callable[..., Update], ...]] = (
    inc,
    set_on_insert,
    maximum,
    minimum,
    add_to_set,
    assign,
)
plans = st.fixed_dictionaries({path: st.sampled_from(OPERATORS) for path in PATHS})
VALUES_OF: Final[dict[Callable[..., Update], st.SearchStrategy[Any]]] = {
    inc: amounts,
    set_on_insert: values,
    maximum: orderable,
    minimum: orderable,
    add_to_set: st.lists(values, max_size=3),
    assign: values,
}


@st.composite
def mergeable(draw: st.DrawFn) -> list[Update]:
    """Three updates that never contradict each other."""
    plan = draw(plans)
    updates = []
    for _ in range(3):
        update = Update.nothing()
        for path in draw(st.lists(st.sampled_from(PATHS), unique=True)):
            update |= plan[path]({path: draw(VALUES_OF[plan[path]])})
        updates.append(update)
    return updates


# No floats: adding to one rounds, and then the order of additions shows.
exact = st.one_of(st.none(), st.booleans(), amounts, st.text("xyz"), st.lists(integers))
documents = st.fixed_dictionaries(
    {},
    optional={
        "a": exact,
        "b": exact,
        "c": st.one_of(exact, st.dictionaries(st.sampled_from("abx"), exact)),
        "d": st.one_of(exact, st.fixed_dictionaries({"e": st.dictionaries(st.just("f"), exact)})),
    },
)


def applied(document: Document | None, *updates: Update) -> Document | None:
    """Apply one after the other; None where one is refused."""
    try:
        for update in updates:
            document = update.apply(document)
    except UpdateError:
        return None
    return document


@given(mergeable(), documents)
def test_a_merged_update_does_what_its_parts_do_in_turn(
    updates: list[Update], document: Document
) -> None:
    """On any document: both ways end alike, or both are refused."""
    first, second, _ = updates
    assert applied(document, first | second) == applied(document, first, second)


@given(mergeable())
def test_a_merged_update_that_creates_a_document_is_a_single_insert(updates: list[Update]) -> None:
    """The second part's values for a new document count where the first has none."""
    first, second, _ = updates
    stored = second.to_stored()
    made_with = stored.pop("set_on_insert", {})
    made = {path: value for path, value in made_with.items() if path not in first.paths}
    stored["set"] = stored.get("set", {}) | made
    then = Update.from_stored(stored)
    assert (first | second).apply(None) == then.apply(first.apply(None))


@given(mergeable())
def test_how_updates_are_grouped_does_not_matter(updates: list[Update]) -> None:
    """Merging is associative, down to types, so batches can be cut anywhere."""
    first, second, third = updates
    assert (first | second) | third == first | (second | third)


contradictory = st.lists(
    st.builds(
        lambda build, path, value: build({path: value}),
        st.sampled_from((inc, maximum, set_on_insert)),
        st.sampled_from(("a", "a.b", "c.a", "c.b", "c")),
        st.sampled_from((1, -(2**63) + 1, 2**63 - 1, 7)),
    ),
    max_size=12,
)


@given(contradictory)
def test_joining_many_is_merging_one_after_the_other(updates: list[Update]) -> None:
    """What is refused is refused by both, and leaves both as they were."""
    joined, merged = Joined(Update.nothing()), Update.nothing()
    for update in updates:
        try:
            joined.add(update)
        except UpdateError as refused:
            with pytest.raises(UpdateError, match=re.escape(str(refused))):
                _ = merged | update
        else:
            merged |= update
        assert joined.update() == merged
        assert joined.update().to_mongo() == merged.to_mongo()


@given(mergeable())
def test_what_was_joined_does_not_show_in_its_parts(updates: list[Update]) -> None:
    """Nor does what is joined later in what was taken out before."""
    before = deepcopy(updates)
    joined = Joined(updates[0])
    joined.add(updates[1])
    taken = joined.update()
    joined.add(updates[2])
    assert taken == updates[0] | updates[1]
    assert joined.update() == updates[0] | updates[1] | updates[2]
    assert updates == before


@given(mergeable())
def test_merging_leaves_its_parts_as_they_were(updates: list[Update]) -> None:
    """Nothing that was merged shows in what it was merged from."""
    before = deepcopy(updates)
    merged = updates[0] | updates[1]
    merged.apply((merged | updates[2]).apply(None))
    assert updates == before


@given(mergeable())
def test_a_stored_update_comes_back_equal(updates: list[Update]) -> None:
    """Through BSON and back, down to types."""
    stored = [update.to_stored() for update in updates]
    row = bson.encode({"updates": stored}, codec_options=CODEC)
    back = bson.decode(row, codec_options=CODEC)["updates"]
    assert [Update.from_stored(one) for one in back] == updates


sums = st.dictionaries(st.sampled_from(PATHS), amounts).map(inc)


@given(sums, sums, documents)
def test_a_correction_turns_the_old_sums_into_the_new(
    old: Update, new: Update, document: Document
) -> None:
    """What only the old update had stays at what it was before, or at zero."""
    correction = new.minus(old)
    corrected = applied(document, old, correction.delta)
    untouched = inc(dict.fromkeys(old.paths - new.paths, 0))
    straight = applied(document, untouched, new)
    assume(corrected is not None and straight is not None)
    assert corrected == straight
    assert correction.recompute == frozenset()


@given(mergeable())
def test_an_update_minus_itself_needs_no_correction(updates: list[Update]) -> None:
    """Whatever its operators."""
    assert not any(update.minus(update) for update in updates)
