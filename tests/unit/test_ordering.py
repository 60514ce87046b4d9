"""When two values are the same: in value and in type, as MongoDB would give them back."""

from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest
from bson import Int64

from pipeline.updates.ordering import same, same_fields

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


class Colour(StrEnum):
    """A text of few values."""

    RED = "red"


UNLIKE: list[tuple[Any, Any]] = [
    (1, True),
    (1, 1.0),
    (0, False),
    (1, Decimal(1)),
    (1.0, Decimal(1)),
    ("1", 1),
    (None, 0),
    ([1], [True]),
    ([1], [1, 1]),
    ({"a": 1}, {"a": 1.0}),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ([{"a": [0]}], [{"a": [False]}]),
]
ALIKE: list[tuple[Any, Any]] = [
    (Colour.RED, "red"),
    ([Colour.RED], ["red"]),
    (Int64(7), 7),
    (NOON, datetime(2024, 5, 1, 12, tzinfo=UTC)),
    ({"a": [1, None]}, {"a": [1, None]}),
]


@pytest.mark.parametrize(("one", "other"), UNLIKE, ids=repr)
def test_a_type_is_part_of_a_value(one: object, other: object) -> None:
    """All the way down; and the keys of a dict have their order."""
    assert not same(one, other)
    assert not same(other, one)
    assert not same_fields({"field": one}, {"field": other})


@pytest.mark.parametrize(("one", "other"), ALIKE, ids=repr)
def test_what_mongodb_gives_back_is_the_same(one: object, other: object) -> None:
    """A subclass as its plain type."""
    assert same(one, other)
    assert same(other, one)
    assert same_fields({"field": one}, {"field": other})


def test_a_documents_own_fields_may_stand_in_any_order() -> None:
    """A model whose fields were moved says the same; one that has more or fewer does not."""
    assert same_fields({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert not same_fields({"a": 1}, {"a": 1, "b": None})
    assert same_fields(None, None)
    assert not same_fields(None, {})
    assert not same_fields({}, None)
