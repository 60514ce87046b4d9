"""One suite of cases for every kind of table: in memory, mongomock and a real MongoDB."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Final

import mongomock
import pytest
from pymongo import MongoClient
from pymongo.database import Database

from pipeline.errors import UpdateError
from pipeline.memory import MemoryTable
from pipeline.store.tables import MongoTable
from pipeline.tables import Document, Table
from pipeline.updates import (
    Update,
    add_to_set,
    assign,
    inc,
    maximum,
    minimum,
    set_on_insert,
)
from pipeline.updates.values import DECIMAL

NOON: Final = datetime(2013, 1, 1, 12, 0, 0, 123000, UTC)

# Rules that mongomock does not keep, and what it does instead. These cases run on the other two.
UNFAITHFUL_IN_MONGOMOCK: Final[dict[str, str]] = {
    "test_decimals_come_back_exactly": "knows no type registry, so it can't keep a Decimal",
    "test_decimal_sums_are_exact": "knows no type registry, so it can't keep a Decimal",
    "test_a_decimal_adds_to_a_float_read_with_15_digits": "can't add a Decimal to a float",
    "test_types_are_ordered_as_bson_orders_them": "compares as Python does, and raises TypeError",
    "test_a_set_holds_numbers_of_one_value_alike_and_true_apart": "takes True for 1",
    "test_a_set_tells_documents_apart_by_the_order_of_their_keys": "ignores the order of keys",
    "test_adding_to_what_is_no_number_is_refused": "adds to True, else raises TypeError",
    "test_a_sum_beyond_64_bits_is_refused": "goes on beyond 64 bits",
    "test_adding_to_the_set_of_what_is_no_list_is_refused": "replaces it, or raises TypeError",
    "test_a_path_through_what_is_no_document_is_refused": "replaces it, or raises TypeError",
    "test_one_refusal_does_not_keep_the_others_from_their_update": "raises TypeError at the first",
}


@pytest.fixture(params=["memory", "mongomock", "mongodb"])
def table(request: pytest.FixtureRequest) -> Table:
    """Give an empty table of each kind."""
    test = request.node.originalname
    if request.param == "memory":
        return MemoryTable("orders")
    if request.param == "mongomock":
        if test in UNFAITHFUL_IN_MONGOMOCK:
            pytest.skip(f"mongomock: {UNFAITHFUL_IN_MONGOMOCK[test]}")
        return MongoTable(mongomock.MongoClient()["contract"]["orders"])
    database: Database[Document] = request.getfixturevalue("database")
    return MongoTable(database["orders"])


def after(table: Table, *updates: Update, start: Document | None = None) -> Document:
    """Return the document "k" after these updates, each in a write of its own."""
    if start is not None:
        table.replace([{"_id": "k", **start}])
    for update in updates:
        table.apply({"k": update})
    return table.get(["k"])["k"]


def test_a_table_knows_its_name(table: Table) -> None:
    """The name is what handlers declare."""
    assert table.name == "orders"


def test_what_was_replaced_can_be_read(table: Table) -> None:
    """Whole documents come back by their ids."""
    documents: list[Document] = [
        {"_id": "a", "n": 1},
        {"_id": "b", "deep": {"er": [1, {"x": None}]}},
    ]
    table.replace(documents)
    assert table.get(["a", "b"]) == {"a": documents[0], "b": documents[1]}


def test_replacing_leaves_nothing_of_the_old_document(table: Table) -> None:
    """A field that the new document lacks is gone."""
    assert after(table, start={"a": 1}) == {"_id": "k", "a": 1}
    assert after(table, start={"b": 2}) == {"_id": "k", "b": 2}


def test_a_missing_key_is_absent(table: Table) -> None:
    """No error and no None for a document that is not there."""
    table.replace([{"_id": "a"}])
    assert table.get(["a", "b"]) == {"a": {"_id": "a"}}
    assert table.get([]) == {}


def test_empty_writes_do_nothing(table: Table) -> None:
    """Nothing to write is no error."""
    table.replace([])
    table.apply({})
    table.apply({"k": Update.nothing()})
    assert table.get(["k"]) == {}


def test_changing_what_was_read_or_written_changes_no_stored_document(table: Table) -> None:
    """What goes in and what comes out are copies."""
    mine: Document = {"_id": "k", "list": [{"a": 1}]}
    table.replace([mine])
    mine["list"][0]["a"] = 2
    table.get(["k"])["k"]["list"].append(3)
    assert table.get(["k"])["k"] == {"_id": "k", "list": [{"a": 1}]}


def test_stored_values_of_an_update_are_not_shared_between_documents(table: Table) -> None:
    """Two documents that got the same update go their own ways."""
    both = assign(inner={"n": [1]})
    table.apply({"a": both, "b": both})
    table.apply({"a": add_to_set({"inner.n": 2}) | inc({"inner.x": 1})})
    assert table.get(["b"])["b"] == {"_id": "b", "inner": {"n": [1]}}


@pytest.mark.parametrize("documents", [[{"a": 1}], [{"_id": "k"}, {"_id": "k"}]])
def test_a_document_without_a_key_of_its_own_is_refused(
    table: Table, documents: list[Document]
) -> None:
    """Without an id, or with another's in the same call, nothing is written."""
    with pytest.raises(ValueError, match="_id"):
        table.replace([{"_id": "other"}, *documents])
    assert table.get(["other", "k"]) == {}


def test_moments_come_back_aware_in_utc_and_whole_milliseconds(table: Table) -> None:
    """BSON keeps milliseconds since 1970 and no time zone."""
    there = NOON.astimezone(timezone(timedelta(hours=2))) + timedelta(microseconds=999)
    got = after(table, assign(updated=there), start={"stored": there})
    assert got == {"_id": "k", "stored": NOON, "updated": NOON}
    assert got["stored"].utcoffset() == got["updated"].utcoffset() == timedelta(0)


def test_decimals_come_back_exactly(table: Table) -> None:
    """A Decimal keeps its value and its digits."""
    got = after(table, inc(b=Decimal("0.20")), start={"a": Decimal("1.10")})
    assert {key: str(got[key]) for key in "ab"} == {"a": "1.10", "b": "0.20"}


def test_an_update_creates_the_document(table: Table) -> None:
    """Every operator starts a field, and sub documents grow on the way."""
    update = (
        inc({"n": 1, "deep.er": 2})
        | set_on_insert(first="x")
        | maximum(high=NOON)
        | minimum(low=1)
        | add_to_set(tags=["a", "b"])
        | assign(last=None)
    )
    assert after(table, update) == {
        "_id": "k",
        "n": 1,
        "deep": {"er": 2},
        "first": "x",
        "high": NOON,
        "low": 1,
        "tags": ["a", "b"],
        "last": None,
    }


def test_set_on_insert_leaves_an_existing_document_alone(table: Table) -> None:
    """Even a field that the document lacks."""
    assert after(table, set_on_insert(a=1, b=2), start={"a": 0}) == {"_id": "k", "a": 0}


def test_sums_add_up_over_writes(table: Table) -> None:
    """Two writes add both amounts, in a sub document too."""
    got = after(table, inc({"a.b": 2}), inc({"a.b": -5}), start={"a": {"c": 1}})
    assert got == {"_id": "k", "a": {"c": 1, "b": -3}}


def test_sums_grow_beyond_32_bits(table: Table) -> None:
    """MongoDB widens an integer by itself."""
    assert after(table, inc(n=1), start={"n": 2**31 - 1})["n"] == 2**31


def test_decimal_sums_are_exact(table: Table) -> None:
    """Ten times ten cents are one."""
    tens = [inc(total=Decimal("0.10"))] * 10
    assert after(table, *tens)["total"] == Decimal("1.00")


def test_a_decimal_adds_to_an_integer(table: Table) -> None:
    """A field that counted whole numbers may go on with decimals."""
    got = after(table, inc(n=Decimal("0.5")), start={"n": 1})
    assert got["n"] == Decimal("1.5")


@pytest.mark.parametrize("held", [0.1, 1 / 3, 2.0**53, -1e-7, 1e300, 0.0])
def test_a_decimal_adds_to_a_float_read_with_15_digits(table: Table, held: float) -> None:
    """MongoDB's way from a float to a decimal, which is not Python's."""
    got = after(table, inc(n=Decimal("0.5")), start={"n": held})
    assert got["n"] == DECIMAL.add(Decimal(f"{held:.15g}"), Decimal("0.5"))


def test_the_highest_and_the_lowest_win(table: Table) -> None:
    """Whatever the order they come in."""
    updates = [maximum(high=n) | minimum(low=n) for n in (2, 3, 1)]
    assert after(table, *updates) == {"_id": "k", "high": 3, "low": 1}


# Ascending in MongoDB's order; a number, a text and a moment can stand in an update.
BY_TYPE: Final[list[Any]] = [None, 1, "a", {"a": 1}, [1], b"a", True, NOON]


@pytest.mark.parametrize("held", BY_TYPE, ids=lambda held: type(held).__name__)
@pytest.mark.parametrize("new", [1, "a", NOON], ids=lambda new: type(new).__name__)
def test_types_are_ordered_as_bson_orders_them(table: Table, held: Any, new: Any) -> None:
    """Null < number < string < document < list < bytes < bool < date."""
    types = [type(value) for value in BY_TYPE]
    was, comes = types.index(type(held)), types.index(type(new))
    got = after(table, maximum(high=new) | minimum(low=new), start={"high": held, "low": held})
    assert got["high"] == (new if comes > was else held)
    assert got["low"] == (new if comes < was else held)


def test_numbers_are_ordered_by_value_whatever_their_type(table: Table) -> None:
    """An integer, a float and a decimal compare by value, and an equal one changes nothing."""
    got = after(table, maximum(a=2.5), maximum(a=Decimal("2.50")), maximum(a=2), start={"a": 1})
    assert (got["a"], type(got["a"])) == (2.5, float)


def test_a_set_takes_each_value_once(table: Table) -> None:
    """Those it holds already are left out, and so are doubles among the new ones."""
    got = after(table, add_to_set(a=[2, 3, 3]), add_to_set(a=4), start={"a": [1, 2]})
    assert got["a"] == [1, 2, 3, 4]


def test_a_set_holds_numbers_of_one_value_alike_and_true_apart(table: Table) -> None:
    """1 is 1.0, and True is not 1."""
    got = after(table, add_to_set(a=[1.0, True, Decimal("2.0")]), start={"a": [1, 2]})
    assert [(type(item), item) for item in got["a"][2:]] == [(bool, True)]


def test_a_set_tells_documents_apart_by_the_order_of_their_keys(table: Table) -> None:
    """As BSON compares documents."""
    got = after(table, add_to_set(a=[{"y": 1, "x": 1}]), start={"a": [{"x": 1, "y": 1}]})
    assert len(got["a"]) == 2


def test_an_empty_set_of_values_starts_an_empty_list(table: Table) -> None:
    """Adding nothing still makes the field."""
    assert after(table, add_to_set(a=[]), start={}) == {"_id": "k", "a": []}


def test_assigning_replaces_what_was_there(table: Table) -> None:
    """Whatever its type."""
    got = after(table, assign({"a": {"x": 1}, "b.c": 2}), start={"a": [1], "b": {"c": "old"}})
    assert got == {"_id": "k", "a": {"x": 1}, "b": {"c": 2}}


def refused(table: Table, update: Update, start: Document) -> None:
    """Check that the update is refused and the document left as it was."""
    table.replace([{"_id": "k", **start}])
    with pytest.raises(UpdateError, match="'k'"):
        table.apply({"k": update})
    assert table.get(["k"])["k"] == {"_id": "k", **start}


@pytest.mark.parametrize("held", [None, "1", True, [1], {"a": 1}, NOON], ids=repr)
def test_adding_to_what_is_no_number_is_refused(table: Table, held: Any) -> None:
    """A sum needs a number, and the rest of the update is not applied either."""
    refused(table, assign(a=1) | inc(n=1), {"n": held})


def test_a_sum_beyond_64_bits_is_refused(table: Table) -> None:
    """No counter wraps around."""
    refused(table, inc(n=1), {"n": 2**63 - 1})


@pytest.mark.parametrize("held", [None, "a", 1, {"a": 1}], ids=repr)
def test_adding_to_the_set_of_what_is_no_list_is_refused(table: Table, held: Any) -> None:
    """Null is no empty set."""
    refused(table, add_to_set(n=1), {"n": held})


@pytest.mark.parametrize("held", [None, "a", 1, [1], [{"a": 1}]], ids=repr)
def test_a_path_through_what_is_no_document_is_refused(table: Table, held: Any) -> None:
    """Nothing is overwritten to make way."""
    refused(table, inc({"n.a": 1}), {"n": held})


def test_one_refusal_does_not_keep_the_others_from_their_update(table: Table) -> None:
    """Unordered: those before and after are applied, and the error counts the refused."""
    table.replace([{"_id": "bad", "n": "text"}, {"_id": "worse", "n": None}])
    with pytest.raises(UpdateError, match="2 of the documents"):
        table.apply({key: inc(n=1) for key in ("a", "bad", "worse", "b")})
    assert [table.get([key])[key]["n"] for key in ("a", "bad", "b")] == [1, "text", 1]


def test_a_transaction_takes_all_or_nothing(
    mongo: MongoClient[Document], database: Database[Document]
) -> None:
    """With a session the table reads its own writes, and an abort leaves nothing."""
    database.drop_collection("orders")
    database.create_collection("orders")
    outside = MongoTable(database["orders"])
    with mongo.start_session() as session, session.start_transaction():
        inside = MongoTable(database["orders"], session)
        inside.apply({"a": inc(n=1)})
        inside.replace([{"_id": "b"}])
        assert inside.get(["a", "b"]) == {"a": {"_id": "a", "n": 1}, "b": {"_id": "b"}}
        assert outside.get(["a", "b"]) == {}
        session.abort_transaction()
    assert outside.get(["a", "b"]) == {}


def test_a_refusal_ends_a_transaction(
    mongo: MongoClient[Document], database: Database[Document]
) -> None:
    """The others have not taken their update either."""
    table = MongoTable(database["orders"])
    table.replace([{"_id": "bad", "n": "text"}])
    with (
        pytest.raises(UpdateError, match="bad"),
        mongo.start_session() as session,
        session.start_transaction(),
    ):
        MongoTable(database["orders"], session).apply({"a": inc(n=1), "bad": inc(n=1)})
    assert table.get(["a"]) == {}


def test_a_table_in_memory_shows_all_it_holds() -> None:
    """For the assertions of users' tests."""
    table = MemoryTable("orders", [{"_id": "b", "n": 1}])
    table.apply({"a": inc(n=1), "b": inc(n=1)})
    assert table.contents() == {"b": {"_id": "b", "n": 2}, "a": {"_id": "a", "n": 1}}


def test_what_mongomock_can_not_do_is_listed_by_the_names_of_cases() -> None:
    """A case that is renamed or gone leaves no dead line behind."""
    assert set(UNFAITHFUL_IN_MONGOMOCK) <= set(globals())
