"""Updates: what may stand in them, how they merge, and what they do to a dict."""

import copy
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

import bson
import pytest

from pipeline.errors import UpdateError
from pipeline.tables import CODEC
from pipeline.updates import (
    Update,
    add_to_set,
    assign,
    inc,
    maximum,
    minimum,
    set_on_insert,
)

NOON: Final = datetime(2013, 1, 1, 12, tzinfo=UTC)
EVERY: Final = (
    inc({"outcomes.completed": 1}, cents=-250)
    | set_on_insert(tenant="acme")
    | maximum(last_at=NOON)
    | minimum(first_at=NOON)
    | add_to_set(tags=["a", "b"])
    | assign(status=None)
)

REFUSED_PATHS: Final = (
    "", ".", "a.", ".a", "$a", "a.$b", "0", "a.0.b", "a\0", "_id", "_id.a", "\ud800",
    "a" + ".a" * 50,
)  # fmt: skip
REFUSED_AMOUNTS: Final[tuple[Any, ...]] = (
    True, None, "1", [1], NOON, 2**63, -(2**63) - 1, Decimal("NaN"), Decimal("Infinity"),
    Decimal(10**34 + 1), Decimal("1E+6145"),
)  # fmt: skip


def test_an_update_takes_dotted_paths_and_names() -> None:
    """A mapping for the dotted ones, keywords for the rest."""
    assert inc({"a.b": 1}, c=2).to_mongo() == {"$inc": {"a.b": 1, "c": 2}}


def test_every_operator_has_its_place_in_the_update_document() -> None:
    """Each path under its operator, and the values of a set in $each."""
    assert EVERY.to_mongo() == {
        "$inc": {"outcomes.completed": 1, "cents": -250},
        "$setOnInsert": {"tenant": "acme"},
        "$max": {"last_at": NOON},
        "$min": {"first_at": NOON},
        "$addToSet": {"tags": {"$each": ["a", "b"]}},
        "$set": {"status": None},
    }
    assert EVERY.paths == {
        "outcomes.completed", "cents", "tenant", "last_at", "first_at", "tags", "status",
    }  # fmt: skip


def test_an_update_that_says_nothing_is_falsy_and_neutral() -> None:
    """It merges with anything and creates no field."""
    nothing = Update.nothing()
    assert not nothing
    assert not inc()
    assert EVERY
    assert (nothing | EVERY, EVERY | nothing) == (EVERY, EVERY)
    assert (nothing.to_mongo(), nothing.describe(), nothing.apply({"a": 1})) == ({}, [], {"a": 1})
    assert repr(nothing) == "<Update nothing>"


def test_an_update_can_not_be_changed() -> None:
    """It is a value: its attributes stay, and so does what was handed in or out."""
    items: list[Any] = [{"a": 1}]
    update = assign(items=items)
    items[0]["a"] = 2
    update.apply(None)["items"].append(3)
    assert update == assign(items=[{"a": 1}])
    with pytest.raises(AttributeError):
        update._parents = frozenset()  # type: ignore[misc]  # noqa: SLF001 - that is the point
    with pytest.raises(TypeError):
        hash(update)
    assert copy.deepcopy(EVERY) == EVERY


def test_equal_updates_are_alike_in_type() -> None:
    """1, 1.0 and True would leave different documents."""
    assert len([one for one in (1, 1.0, True) if assign(a=one) == assign(a=1)]) == 1
    assert assign(a={"x": 1, "y": 2}) != assign(a={"y": 2, "x": 1})
    assert assign(a=[1, 2]) != assign(a=[1])
    assert assign(a=1) != inc(a=1)
    assert assign(a=1) != "set a 1"


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        (inc(a=1), inc(a=2, b=3), inc(a=3, b=3)),
        (inc(a=1), inc(a=Decimal("0.5")), inc(a=Decimal("1.5"))),
        (maximum(a=1), maximum(a=2), maximum(a=2)),
        (maximum(a="x"), maximum(a=2), maximum(a="x")),
        (maximum(a=NOON), maximum(a="x"), maximum(a=NOON)),
        (maximum(a=1), maximum(a=1.0), maximum(a=1)),
        (minimum(a=1), minimum(a=2), minimum(a=1)),
        (minimum(a="x"), minimum(a=2), minimum(a=2)),
        (add_to_set(a=[1, 2]), add_to_set(a=[3, 2.0]), add_to_set(a=[1, 2, 3])),
        (assign(a=1), assign(a=2), assign(a=2)),
        (set_on_insert(a=1), set_on_insert(a=2, b=3), set_on_insert(a=1, b=3)),
    ],
)
def test_merging_does_what_both_do(first: Update, second: Update, both: Update) -> None:
    """Sums add, the extreme wins, sets join, the last assignment and the first insert stay."""
    assert first | second == both


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (inc(a=1), assign(a=1)),
        (assign(a=1), inc({"a.b": 1})),
        (inc({"a.b.c": 1}), maximum(a=1)),
        (set_on_insert({"a.b": 1}), assign({"a.b.c": 1})),
    ],
)
def test_paths_that_contradict_each_other_are_refused(first: Update, second: Update) -> None:
    """As MongoDB refuses them: the same path in two operators, or a path above another."""
    with pytest.raises(UpdateError, match="MongoDB refuses that"):
        _ = first | second


def test_paths_of_one_operator_must_not_contradict_each_other_either() -> None:
    """A path above another, or the same path given twice."""
    with pytest.raises(UpdateError, match=r"'a' and 'a\.b' can't change in one update"):
        inc({"a": 1, "a.b": 1})
    with pytest.raises(UpdateError, match="'a' is given twice"):
        inc({"a": 1}, a=2)
    assert inc({"a.b": 1, "a.bc": 1, "ab": 1})


def test_a_merged_sum_that_can_not_be_held_is_refused() -> None:
    """Beyond 64 bits, or beyond 34 digits, it would not be exact."""
    with pytest.raises(UpdateError, match="64 bits"):
        _ = inc(a=2**63 - 1) | inc(a=1)
    with pytest.raises(UpdateError, match="34 digits"):
        _ = inc(a=Decimal("1E+30")) | inc(a=Decimal("1E-30"))


@pytest.mark.parametrize("path", REFUSED_PATHS)
@pytest.mark.parametrize("build", [inc, set_on_insert, maximum, minimum, add_to_set, assign])
def test_paths_mongodb_would_refuse_or_misread_are_refused(
    path: str, build: Callable[..., Update]
) -> None:
    """Empty parts, $, NUL, indexes of arrays, half characters and the document's key."""
    with pytest.raises(UpdateError, match=r"path|key of a document|levels|array"):
        build({path: 1})


def test_a_path_is_a_string() -> None:
    """Another key of a mapping is a slip."""
    with pytest.raises(UpdateError, match="a field path is a string, not int 1"):
        inc({1: 1})  # type: ignore[dict-item]


@pytest.mark.parametrize("amount", REFUSED_AMOUNTS)
def test_inc_takes_only_amounts_that_add_up_exactly(amount: Any) -> None:
    """An int of 64 bits or a finite Decimal of 34 digits."""
    with pytest.raises(UpdateError, match="'a'"):
        inc(a=amount)


def test_inc_refuses_a_float_with_a_way_out() -> None:
    """A sum of floats depends on their order, and order must not matter."""
    with pytest.raises(UpdateError, match="use whole cents or Decimal"):
        inc(a=0.1)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [True, None, [1], {"a": 1}, b"a", float("nan"), Decimal("NaN")])
@pytest.mark.parametrize("build", [maximum, minimum])
def test_extremes_take_only_what_has_an_order(build: Callable[..., Update], value: Any) -> None:
    """Numbers, strings and moments."""
    with pytest.raises(UpdateError, match="'a'"):
        build(a=value)


CYCLE: Final[list[Any]] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (float("nan"), "finite"),
        (float("inf"), "finite"),
        (2**63, "64 bits"),
        ("\ud800", "surrogate"),
        (datetime(2013, 1, 1), "time zone"),  # noqa: DTZ001 - the case
        (datetime.min.replace(tzinfo=timezone(timedelta(hours=1))), "out of range"),
        (date(2013, 1, 1), "isoformat"),
        ({1, 2}, "sorted list"),
        (b"bytes", "not bytes"),
        (object, "an update takes"),
        ({1: 1}, "keys of a dict"),
        ({"$a": 1}, r"starts with \$"),
        ({"a\0": 1}, "NUL"),
        (CYCLE, "nested"),
    ],
)
def test_a_value_without_an_exact_equal_in_bson_is_refused(value: Any, hint: str) -> None:
    """At the top and within lists and dicts, with a way out where there is one."""
    for wrapped in (value, [value], {"key": [value]}):
        with pytest.raises(UpdateError, match=hint):
            assign(a=wrapped)


class Colour(StrEnum):
    """A str that is more than a str."""

    RED = "red"


def test_values_are_kept_as_mongodb_keeps_them() -> None:
    """Moments in UTC milliseconds, tuples as lists, subclasses as their plain types."""
    moment = datetime(2013, 1, 1, 13, 0, 0, 999_999, timezone(timedelta(hours=1)))
    whole = NOON.replace(microsecond=999_000)
    update = assign(
        at=moment, same=whole.replace(microsecond=999_500), list=(1, (2,)), s=Colour.RED,
        n=bson.Int64(2),
    )  # fmt: skip
    after = update.apply(None)
    assert after == {"at": whole, "same": whole, "list": [1, [2]], "s": "red", "n": 2}
    assert {type(after["s"]), type(after["n"])} == {str, int}


def test_values_of_a_set_come_in_the_same_order_in_every_process() -> None:
    """A set of strings has another order in each run; a ledger row must not."""
    assert add_to_set(a={"b", "a", "c"}).to_stored() == {"add_to_set": {"a": ["a", "b", "c"]}}
    assert add_to_set(a="abc") == add_to_set(a=["abc"])


def test_applying_leaves_the_document_as_it_was() -> None:
    """Also in its sub documents."""
    before = {"a": {"b": {"c": 1}}, "tags": ["x"]}
    kept = copy.deepcopy(before)
    after = (inc({"a.b.c": 1, "a.b.d": 1}) | add_to_set(tags="y")).apply(before)
    assert after == {"a": {"b": {"c": 2, "d": 1}}, "tags": ["x", "y"]}
    assert before == kept


def test_a_new_document_gets_what_is_set_on_insert() -> None:
    """None is a document that does not exist, {} is one that does."""
    update = set_on_insert(a=1) | inc(b=1)
    assert (update.apply(None), update.apply({})) == ({"a": 1, "b": 1}, {"b": 1})


@pytest.mark.parametrize(
    ("update", "document"),
    [
        (inc(a=1), {"a": "1"}),
        (inc(a=1), {"a": True}),
        (inc(a=1), {"a": 2**63 - 1}),
        (add_to_set(a=1), {"a": None}),
        (inc({"a.b": 1}), {"a": None}),
        (inc({"a.b": 1}), {"a": [{"b": 1}]}),
        (maximum(a=1), {"a": object()}),
    ],
)
def test_what_a_document_can_not_take_is_refused(update: Update, document: Any) -> None:
    """As MongoDB refuses it."""
    with pytest.raises(UpdateError):
        update.apply(document)


def test_a_correction_adds_what_is_new_and_takes_back_what_is_old() -> None:
    """A document that got the old update ends as if it had got the new one."""
    old, new = inc(a=1, b=2, c=Decimal("1.10")), inc(a=1, b=5, d=1, c=Decimal("1.00"))
    correction = new.minus(old)
    assert correction.delta == inc(b=3, c=Decimal("-0.10"), d=1)
    assert correction.recompute == frozenset()
    assert correction.delta.apply(old.apply({"a": 9})) == new.apply({"a": 9})


def test_taking_an_update_back_leaves_sums_at_zero() -> None:
    """Nothing minus something."""
    correction = Update.nothing().minus(inc({"a.b": 2}) | maximum(c=1))
    assert correction.delta == inc({"a.b": -2})
    assert correction.recompute == {"c"}


def test_an_unchanged_update_needs_no_correction() -> None:
    """It is falsy."""
    assert not EVERY.minus(EVERY)
    assert EVERY.minus(Update.nothing())


def test_what_adding_can_not_correct_is_to_be_recomputed() -> None:
    """Extremes, sets, assignments and inserts whose value changed, came or went."""
    old = maximum(a=1, same=1) | add_to_set(b=1) | assign(c=1) | set_on_insert(d=1) | minimum(e=1)
    new = maximum(a=2, same=1) | add_to_set(b=2) | assign(c=True) | set_on_insert(d=2)
    assert new.minus(old).recompute == {"a", "b", "c", "d", "e"}
    assert not new.minus(old).delta


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (maximum(a=1), inc(a=1)),
        (inc(a=1), maximum(a=1)),
        (inc(a=-1), inc(a=2**63 - 1)),
        (inc(a=Decimal("1E+25")), inc(a=Decimal("1E-10"))),
        (inc(a=1), inc({"a.b": 1}, n=1)),
    ],
)
def test_a_sum_that_no_one_amount_corrects_is_refused_and_can_be_taken_off(
    old: Update, new: Update
) -> None:
    """Another operator or depth, or a difference that MongoDB can't hold exactly."""
    with pytest.raises(UpdateError):
        new.minus(old)
    taken_off = Update.nothing().minus(old)
    found_again = taken_off.recompute == {"a"}
    assert found_again or taken_off.delta.apply(old.apply(None)) == {"a": 0}


def test_whatever_is_added_can_be_taken_off() -> None:
    """The one whole number of 64 bits that has no opposite is no amount."""
    least = inc(a=-(2**63) + 1)
    assert Update.nothing().minus(least).delta == inc(a=2**63 - 1)
    with pytest.raises(UpdateError, match="opposite"):
        inc(a=-(2**63))


def test_a_stored_update_comes_back_equal() -> None:
    """Through BSON, and without keys that MongoDB reserves."""
    row = bson.encode({"update": EVERY.to_stored()}, codec_options=CODEC)
    assert Update.from_stored(bson.decode(row, codec_options=CODEC)["update"]) == EVERY
    assert inc({"a.b": 1}).to_stored() == {"inc": {"a.b": 1}}


@pytest.mark.parametrize(
    "stored",
    [
        ["inc"],
        {"inc": "a"},
        {"push": {"a": 1}},
        {"inc": {"a": "1"}},
        {"inc": {"a": 1}, "max": {"a": 1}},
        {"inc": {"a": 1, "a.b": 1}},
    ],
)
def test_a_stored_update_that_is_none_is_refused(stored: Any) -> None:
    """A row from another hand gets the same checks."""
    with pytest.raises(UpdateError):
        Update.from_stored(stored)


def test_people_can_read_an_update() -> None:
    """One short line for each field, in the order of their paths."""
    assert EVERY.describe() == [
        "cents -250",
        "first_at min 2013-01-01T12:00:00+00:00",
        "last_at max 2013-01-01T12:00:00+00:00",
        "outcomes.completed +1",
        "status set None",
        "tags add 'a', 'b'",
        "tenant set on insert 'acme'",
    ]
    assert inc(a=Decimal("0.50")).describe() == ["a +0.50"]
    assert assign(a={"b": [Decimal(1), 2.5]}).describe() == ["a set {b: [1, 2.5]}"]
    assert add_to_set(a=[]).describe() == ["a add nothing"]
    assert repr(inc(a=1, b=2)) == "<Update a +1; b +2>"
    assert len(assign(a="x" * 1000).describe()[0]) < 100


def test_what_another_update_says_as_well_does_not_hang_on_this_one() -> None:
    """An extreme as high, a set that holds as much; a lower one is no help."""
    document = {"top": 7, "low": 2, "words": ["a", "b"], "n": 5}
    mine = maximum(top=7) | minimum(low=2) | add_to_set(words=["a"]) | inc(n=1)
    assert mine.bears_on(document, Update.nothing()) == {"top", "low", "words", "n"}
    less = maximum(top=6) | minimum(low=3) | add_to_set(words=["b"]) | inc(n=1)
    assert mine.bears_on(document, less) == {"top", "low", "words", "n"}
    as_much = maximum(top=7) | minimum(low=2) | add_to_set(words=["b", "a"])
    assert mine.bears_on(document, as_much) == {"n"}
    assert mine.bears_on(document | {"top": 9, "low": 0}, less) == {"words", "n"}
