"""Applying an update in place means what applying it to a copy means."""

from copy import deepcopy
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UpdateError
from pipeline.tables import Document, as_stored
from pipeline.updates import Update, add_to_set, assign, inc, maximum, minimum, set_on_insert
from pipeline.updates.inplace import (
    apply_in_place,
    apply_quickly,
    operators_of,
    steps_of,
    touches,
)
from tests.unit.test_updates_properties import amounts, mergeable, orderable, values

REFUSED = "refused"
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)

# Texts, lists and documents in each other's place, and numbers at the edge of 64 bits.
held = st.one_of(values, amounts, orderable, st.sampled_from([2**63 - 1, -(2**63), 2**62]))
documents = st.fixed_dictionaries(
    {},
    optional={
        "a": held,
        "b": held,
        "c": st.one_of(held, st.dictionaries(st.sampled_from("abx"), held)),
        "d": st.one_of(held, st.fixed_dictionaries({"e": st.dictionaries(st.just("f"), held)})),
    },
)


def spelled(value: Any) -> Any:
    """The value with its type and the order of its keys, so that 1, 1.0 and True differ."""
    if isinstance(value, dict):
        return [(key, spelled(item)) for key, item in value.items()]
    if isinstance(value, list):
        return [spelled(item) for item in value]
    return type(value).__name__, str(value)


def on_a_copy(update: Update, document: Document | None) -> Any:
    """What the update makes of the document, the other way."""
    try:
        return spelled(update.apply(document))
    except UpdateError:
        return REFUSED


@given(mergeable(), st.one_of(st.none(), documents))
def test_in_place_and_on_a_copy_a_document_ends_alike(
    updates: list[Update], document: Document | None
) -> None:
    """In values, types and order of keys, or both ways it is refused and nothing changed."""
    stored = None if document is None else as_stored(document)
    for update in updates:
        expected = on_a_copy(update, stored)
        mine = {} if stored is None else deepcopy(stored)
        try:
            apply_in_place(update, mine, new=stored is None)
        except UpdateError:
            assert expected == REFUSED
            assert spelled(mine) == spelled(stored or {})
        else:
            assert spelled(mine) == expected
            stored = mine


orderly = st.sampled_from([1, -1, 2**62, "a", "b", NOON, NOON + timedelta(days=1), 1.5])
simple = st.dictionaries(st.sampled_from(["a", "b", "c.x", "d.e.f"]), orderly, min_size=1).map(
    lambda fields: [
        maximum(fields),
        minimum(fields),
        assign(fields),
        add_to_set(fields),
        set_on_insert(fields),
        inc({path: value for path, value in fields.items() if type(value) is int}),
    ]
)
likely = st.fixed_dictionaries(
    {"a": orderly, "b": orderly | st.just(value=True), "c": st.fixed_dictionaries({"x": orderly})},
    optional={"d": orderly | st.fixed_dictionaries({"e": st.dictionaries(st.just("f"), orderly)})},
)


@given(simple, likely)
def test_what_is_applied_quickly_comes_out_as_it_would_otherwise(
    updates: list[Update], document: Document
) -> None:
    """Or it is left alone altogether."""
    for update in updates:
        mine, other = deepcopy(document), deepcopy(document)
        if apply_quickly(update, steps_of(update), mine):
            assert not apply_in_place(update, other)
        assert spelled(mine) == spelled(other)


@pytest.mark.parametrize(
    ("update", "document", "quick"),
    [
        (inc({"a.b": 2, "n": 1}), {"a": {"b": 1}, "n": 1}, True),
        (minimum(first=NOON) | maximum(last=NOON), {"first": NOON, "last": NOON}, True),
        (inc(n=1), {"n": 2**63 - 1}, False),
        (inc(n=1), {"n": True}, False),
        (inc(n=1), {}, False),
        (inc({"a.b": 1}), {"a": "b"}, False),
        (assign(n=1), {"n": 0}, False),
        (set_on_insert(n=1), {"n": 0}, False),
        (maximum(at=NOON), {"at": NOON.replace(tzinfo=None)}, False),
    ],
)
def test_only_what_is_simple_is_applied_quickly(
    update: Update, document: Document, *, quick: bool
) -> None:
    """Nearly all is; a property above holds the results together."""
    assert apply_quickly(update, steps_of(update), document) is quick


@given(mergeable(), documents)
def test_it_tells_whether_the_document_grew(updates: list[Update], document: Document) -> None:
    """A new field at any depth, or none."""
    before = leaves(document)
    try:
        grown = apply_in_place(updates[0], document)
    except UpdateError:
        return
    reached = {path for path, name in operators_of(updates[0]) if name != "set_on_insert"}
    assert grown == any(path not in before for path in reached)


def leaves(document: Document, above: str = "") -> set[str]:
    """The dotted paths of all fields."""
    found = set()
    for name, value in document.items():
        found.add(f"{above}{name}")
        if isinstance(value, dict):
            found |= leaves(value, f"{above}{name}.")
    return found


@given(mergeable(), documents)
def test_the_update_shares_nothing_with_the_document(
    updates: list[Update], document: Document
) -> None:
    """What the document gets can be changed without changing the update."""
    update = updates[0]
    before = deepcopy(update)
    try:
        apply_in_place(update, document, new=True)
        for _ in range(2):
            apply_in_place(updates[1], document)
    except UpdateError:
        pass
    assert update == before


@pytest.mark.parametrize(
    ("update", "document"),
    [
        pytest.param(inc(a=1, n=1), {"a": 1, "n": "text"}, id="a sum with a text"),
        pytest.param(inc({"a": 1, "x.n": 1}), {"a": 1, "x": 5}, id="a field of a number"),
        pytest.param(inc(a=1, n=1), {"a": 1, "n": 2**63 - 1}, id="beyond 64 bits"),
        pytest.param(inc({"b.c": 1, "n": 1}), {"n": "text"}, id="after a new document was made"),
        pytest.param(maximum(a=9) | add_to_set(n=1), {"a": 1, "n": 1}, id="a set of a number"),
    ],
)
def test_a_refused_update_leaves_the_document_as_it_was(update: Update, document: Document) -> None:
    """Also what stood before the refused field in it."""
    before = deepcopy(document)
    with pytest.raises(UpdateError):
        apply_in_place(update, document)
    assert spelled(document) == spelled(before)


@pytest.mark.parametrize(
    "held_in", [UTC, timezone(timedelta(0), "utc"), timezone(timedelta(hours=2))]
)
def test_moments_of_any_zone_are_compared(held_in: timezone) -> None:
    """MongoDB's own come back in a zone of its driver."""
    document = {"first": NOON.astimezone(held_in), "last": NOON.astimezone(held_in)}
    later, earlier = NOON + timedelta(hours=1), NOON - timedelta(hours=1)
    apply_in_place(minimum(first=later) | maximum(last=earlier), document)
    assert document == {"first": NOON, "last": NOON}
    apply_in_place(minimum(first=earlier) | maximum(last=later), document)
    assert document == {"first": earlier, "last": later}


def test_a_moment_without_zone_is_in_utc() -> None:
    """As a driver that is not told otherwise gives it."""
    document = {"last": NOON.replace(tzinfo=None)}
    apply_in_place(maximum(last=NOON - timedelta(hours=1)), document)
    assert document == {"last": NOON.replace(tzinfo=None)}


def test_what_counts_for_new_documents_only_is_left_out_of_others() -> None:
    """The caller knows which write creates the document."""
    old: Document = {"n": 1}
    made: Document = {}
    update = set_on_insert(tenant="acme") | inc(n=Decimal("1.5"))
    assert not apply_in_place(update, old)
    assert apply_in_place(update, made, new=True)
    assert (old, made) == ({"n": Decimal("2.5")}, {"n": Decimal("1.5"), "tenant": "acme"})


def test_an_update_touches_a_field_at_any_depth() -> None:
    """The field itself, or something in it, and no field that only begins alike."""
    update = inc({"a": 1, "b.c": 1, "cd": 1})
    assert touches(update, frozenset({"a"}))
    assert touches(update, frozenset({"b"}))
    assert not touches(update, frozenset({"c", "d"}))


def test_operators_are_told_by_path() -> None:
    """One for each field."""
    update = inc({"a.b": 1}) | maximum(c=1) | assign(d=1)
    assert operators_of(update) == [("a.b", "inc"), ("c", "max"), ("d", "set")]
