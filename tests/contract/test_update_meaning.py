"""The meaning of an update in memory equals its meaning in a real MongoDB."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import pytest
from bson import ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient, UpdateOne
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError

from pipeline.errors import UpdateError
from pipeline.tables import CODEC, Document, as_stored
from pipeline.updates import (
    Update,
    add_to_set,
    assign,
    inc,
    maximum,
    minimum,
    set_on_insert,
)

REFUSED: Final = "refused"

# Few names, so that updates meet fields; dots, dashes and letters beyond ASCII for the order.
NAMES: Final = ("a", "b", "B", "a-b", "é")
PATHS: Final = (*NAMES, "a.b", "a.B", "b.a.a", "b.a.b", "a-b.a", "é.a")

integers = st.one_of(
    st.integers(-3, 3), st.sampled_from([2**31 - 1, -(2**31), 2**53 + 1, 2**63 - 1, -(2**63)])
)
floats = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, 0.1, 1.5, 2.0**53, 2.0**63, -1e300, 5e-324]),
    st.floats(allow_nan=False, allow_infinity=False),
)
decimals = st.one_of(
    st.sampled_from([Decimal(text) for text in ("0", "1", "1.0", "0.1", "1.5", "-0", "1E+30")]),
    st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-999, max_value=999),
)
moments = st.one_of(
    st.sampled_from(
        [datetime(1969, 12, 31, 23, 59, 59, 999999, UTC), datetime(2013, 1, 1, 0, 0, 0, 0, UTC)]
    ),
    st.datetimes(timezones=st.just(UTC)),
)
texts = st.one_of(
    st.sampled_from(["", "1", "a", "A", "é", "\uffff", "😀", "\0"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
)
orderable = st.one_of(integers, floats, decimals, moments, texts)
scalars = st.one_of(st.none(), st.booleans(), orderable)


def nested(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Leaves, and lists and documents of them."""
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
        ),
        max_leaves=4,
    )


values = nested(scalars)
# A document may hold what no update can bring.
held = nested(
    st.one_of(
        scalars,
        st.sampled_from([float("nan"), float("inf"), -float("inf"), Decimal("NaN")]),
        st.sampled_from([b"", b"a", ObjectId("0" * 24)]),
    )
)
documents = st.one_of(st.none(), st.dictionaries(st.sampled_from(NAMES), held, max_size=4))
paths = st.sampled_from(PATHS)

parts: st.SearchStrategy[tuple[Any, Any]] = st.one_of(
    st.tuples(st.just(inc), st.one_of(integers, decimals)),
    st.tuples(st.just(set_on_insert), values),
    st.tuples(st.sampled_from([maximum, minimum]), orderable),
    st.tuples(st.just(add_to_set), st.lists(values, max_size=3)),
    st.tuples(st.just(assign), values),
)


@st.composite
def updates(draw: st.DrawFn) -> Update:
    """An update of up to four paths that don't contradict each other."""
    update = Update.nothing()
    for path, (build, value) in draw(st.lists(st.tuples(paths, parts), min_size=1, max_size=4)):
        try:
            update |= build({path: value})
        except UpdateError:
            continue
    return update


def plain(value: Any) -> Any:
    """The value with its type spelled out, so that 1, 1.0, True and 1.00 differ.

    The order of keys counts, integers of both widths are alike, and NaN equals itself.
    """
    if isinstance(value, dict):
        return "document", [(key, plain(item)) for key, item in value.items()]
    if isinstance(value, list):
        return "list", [plain(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return "int", int(value)
    return type(value).__name__, repr(value) if isinstance(value, float | Decimal) else value


def in_memory(document: Document | None, update: Update) -> Any:
    """What the update makes of the document here."""
    try:
        return plain(as_stored(update.apply(document)))
    except UpdateError:
        return REFUSED


def in_mongo(
    collection: Collection[Document], cases: list[tuple[Document | None, Update]]
) -> list[Any]:
    """What MongoDB makes of each document: one insert, one bulk write and one read for all."""
    collection.delete_many({})
    stored = [{"_id": at, **held} for at, (held, _) in enumerate(cases) if held is not None]
    if stored:
        collection.insert_many(stored)
    refused = set()
    try:
        collection.bulk_write(
            [
                UpdateOne({"_id": at}, new.to_mongo(), upsert=True)
                for at, (_, new) in enumerate(cases)
            ],
            ordered=False,
        )
    except BulkWriteError as error:
        refused = {failure["index"] for failure in error.details["writeErrors"]}
    after = {document.pop("_id"): plain(document) for document in collection.find()}
    return [REFUSED if at in refused else after[at] for at in range(len(cases))]


@pytest.fixture(scope="module")
def collection(mongo: MongoClient[Document]) -> Collection[Document]:
    """An own collection that reads and writes as the tables do."""
    return mongo["update_meaning"].get_collection("documents", codec_options=CODEC)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
    ],
)
@given(st.lists(st.tuples(documents, updates().filter(bool)), min_size=1, max_size=40))
def test_an_update_means_in_memory_what_it_means_in_mongodb(
    collection: Collection[Document], cases: list[tuple[Document | None, Update]]
) -> None:
    """Each document ends alike, in type and order of keys too, or both sides refuse."""
    cases = [(None if held is None else as_stored(held), update) for held, update in cases]
    for case, theirs in zip(cases, in_mongo(collection, cases), strict=True):
        assert in_memory(*case) == theirs, case
