"""Two payloads held against each other."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipeline.differing import (
    DEEPEST,
    MOST_FIELDS,
    MOST_TOLD,
    VALUE_CHARACTERS,
    Difference,
    differences,
)

names = st.text("abc.é[ ", min_size=1, max_size=3)
leaves = st.none() | st.booleans() | st.integers(0, 2) | st.just(1.0) | st.text("xy<", max_size=2)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3)
)
payloads = st.dictionaries(names, values, max_size=4)


def flat(value: Any, path: tuple[Any, ...] = ()) -> dict[tuple[Any, ...], str]:
    """Every leaf and every empty list or object by its path, as JSON with its type."""
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    found = {}
    for name, inner in parts:
        here = (*path, name)
        if isinstance(inner, dict | list) and inner:
            found |= flat(inner, here)
        else:
            found[here] = json.dumps(inner)
    return found


@given(payloads)
def test_a_payload_does_not_differ_from_itself(payload: dict[str, Any]) -> None:
    """Nor does a copy of it with its fields in another order."""
    again = dict(reversed(json.loads(json.dumps(payload)).items()))
    assert differences(payload, again) == ([], 0, False)


@given(payloads, payloads)
def test_nothing_is_told_where_all_leaves_are_the_same(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    """And something is where one is not: 1, 1.0 and true are three things."""
    assert (differences(before, after).told == []) == (flat(before) == flat(after))


@given(payloads, payloads)
def test_the_other_way_round_what_was_added_is_removed(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    """And values change sides."""
    turned = {"added": "removed", "removed": "added", "changed": "changed"}
    there = differences(before, after).told
    back = differences(after, before).told
    assert [Difference(d.path, turned[d.kind], d.after, d.before) for d in there] == back


def test_fields_are_told_by_their_paths() -> None:
    """In objects by name, in lists by place; null is a value."""
    before = {"status": "open", "lines": [{"price": 1, "sku": "a"}], "gone": None, "a.b": 1}
    after = {"status": "paid", "lines": [{"price": 1.0, "sku": "a"}, {}], "note": "", "a.b": True}
    assert differences(before, after).told == [
        Difference('"a.b"', "changed", "1", "true"),
        Difference("gone", "removed", "null", None),
        Difference("lines[0].price", "changed", "1", "1.0"),
        Difference("lines[1]", "added", None, "{}"),
        Difference("note", "added", None, '""'),
        Difference("status", "changed", '"open"', '"paid"'),
    ]


def test_however_much_differs_what_is_told_is_bounded() -> None:
    """Many fields, deep ones and long ones; that something was left out is told as well."""
    many = {f"f{n:05}": n for n in range(MOST_TOLD + 5)}
    assert (len(differences({}, many).told), differences({}, many).more) == (MOST_TOLD, 5)
    wide = {f"f{n}": n for n in range(MOST_FIELDS + 1)}
    assert differences(wide, wide) == ([], 0, True)
    empty: Any = {"lines": [{}] * 3_000_000}
    assert differences(empty, empty) == ([], 0, True)
    deep: Any = 1
    deeper: Any = 2
    for _ in range(100):
        deep, deeper = {"d": deep}, {"d": deeper}
    (found,) = differences(deep, deeper).told
    assert found.path == ".".join("d" * DEEPEST)
    (found,) = differences({"x" * 500: "y"}, {"x" * 500: "z" * 10_000}).told
    assert (len(found.path), len(found.after or "")) == (100, VALUE_CHARACTERS)
