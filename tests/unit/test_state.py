"""States: what a fold returns, how it is changed, and how MongoDB gives it back."""

from collections.abc import Callable
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Any, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    BaseModel,
    Field,
    ValidationError,
    computed_field,
    field_serializer,
    field_validator,
    model_validator,
)

from pipeline import Change, State
from pipeline.clock import to_milliseconds
from pipeline.errors import HandlerFault, StateMisfit

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
EAST = timezone(timedelta(hours=2))


class Colour(StrEnum):
    """A text of few values."""

    RED = "red"


class Size(Enum):
    """Numbers of few values."""

    SMALL = 1


class Inner(BaseModel):
    """A model within one."""

    at: datetime
    tags: tuple[str, ...] = ()


class Anything(State):
    """Holds whatever it is given."""

    value: Any = None


class Told(State):
    """Tells more, less or otherwise than it holds."""

    amount: Decimal = Decimal(0)
    hidden: str = Field(default="", exclude=True)
    size: Size = Size.SMALL

    @computed_field  # type: ignore[prop-decorator]
    @property
    def cents(self) -> int:
        """The amount in cents."""
        return int(self.amount * 100)

    @field_serializer("size")
    def _size(self, size: Size) -> int:
        return size.value


class Guarded(State):
    """Looks at what it is given."""

    low: int = 0
    high: int = 9
    word: str = ""

    @field_validator("word")
    @classmethod
    def _stripped(cls, word: str) -> str:
        return word.strip()

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


def plainly(state: State) -> dict[str, Any]:
    """The stored form, the long way."""

    def form(value: Any) -> Any:
        if isinstance(value, datetime):
            return to_milliseconds(value)
        if isinstance(value, list | tuple):
            return [form(item) for item in value]
        if isinstance(value, dict):
            return {name: form(item) for name, item in value.items()}
        return value

    return {name: form(value) for name, value in state.model_dump().items()}


moments = st.datetimes(timezones=st.sampled_from([UTC, EAST, UTC]))
values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False),
        st.text(max_size=3),
        st.decimals(allow_nan=False, allow_infinity=False),
        moments,
        st.sampled_from([Colour.RED, Size.SMALL]),
        st.builds(Inner, at=moments, tags=st.lists(st.text(max_size=2), max_size=2).map(tuple)),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.tuples(inner, inner),
        st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    ),
    max_leaves=4,
)


@given(values)
def test_a_stored_value_has_the_form_that_mongodb_gives_back(value: Any) -> None:
    """Whole milliseconds in UTC and lists at any depth; types of other values are kept."""
    state = Anything(value=value)
    assert repr(state.stored()) == repr(plainly(state))


@given(moments)
def test_a_stored_moment_is_in_utc_and_whole_milliseconds(moment: datetime) -> None:
    """Whatever it was before."""
    stored = Anything(value=moment).stored()["value"]
    assert (stored.tzinfo, stored.microsecond % 1000) == (UTC, 0)
    assert timedelta(0) <= moment - stored < timedelta(milliseconds=1)


def test_storing_leaves_the_state_as_it_is() -> None:
    """What it gives may be changed."""
    state = Anything(value={"at": NOON.astimezone(EAST), "in": (1, 2)})
    before = repr(state)
    state.stored()["value"]["in"].append(3)
    assert repr(state) == before


def test_a_state_is_stored_as_it_says() -> None:
    """Fields left out, added or written otherwise by the model itself."""
    told = Told(amount=Decimal("1.50"), hidden="s")
    assert told.stored() == {"amount": Decimal("1.50"), "size": 1, "cents": 150}
    assert told.stored() == plainly(told)


def test_a_replaced_field_is_checked_and_the_others_are_kept() -> None:
    """By the model's own rules."""
    state = Guarded(low=1, word="a").replace(high="5", word=" b ")
    assert (type(state), state.low, state.high, state.word) == (Guarded, 1, 5, "b")
    assert state.replace() == state


@pytest.mark.parametrize("changes", [{"low": "x"}, {"low": 6, "high": 5}, {"word": None}])
def test_a_value_that_the_model_refuses_is_refused(changes: dict[str, Any]) -> None:
    """Also where it is refused for another field's sake."""
    with pytest.raises(ValidationError):
        Guarded().replace(**changes)


def test_a_name_that_is_no_field_is_refused_before_any_value() -> None:
    """All of them are told."""
    with pytest.raises(HandlerFault, match=r"^Guarded has no field lowest, names$"):
        Guarded().replace(names=1, low="x", lowest=2)


@pytest.mark.parametrize("make", [Change, lambda a, b: Change(before=a, after=b)])
def test_a_change_holds_both_sides_and_stays_as_it_is(
    make: Callable[[State | None, State], Change[State]],
) -> None:
    """It is a value."""
    one, other = Anything(value=1), Anything(value=2)
    change = make(one, other)
    assert (change.before, change.after) == (one, other)
    assert change == Change(Anything(value=1), Anything(value=2)) != Change(None, other)
    assert hash(change) == hash(make(one, other))
    assert repr(change) == f"Change(before={one!r}, after={other!r})"
    with pytest.raises(FrozenInstanceError):
        change.after = one  # type: ignore[misc]


def test_a_change_tells_what_was_entered_and_left() -> None:
    """A new document enters, and leaves nothing."""
    one, other = Anything(value=1), Anything(value=2)
    assert Change(one, other).entered("value", 2)
    assert Change(one, other).left("value", 1)
    assert Change(None, other).entered("value", 2)
    assert not Change(None, other).left("value", None)
    assert not Change(other, other).entered("value", 2)


class Grown(State):
    """A model that is another one by now."""

    kept: int = 0
    got: int = 7
    needed: str


def test_stored_fields_are_read_with_defaults_for_what_was_not_stored() -> None:
    """As a model is made of anything else."""
    assert Grown.of_stored({"kept": 1, "needed": "x"}) == Grown(kept=1, got=7, needed="x")


def test_a_model_that_does_not_fit_what_is_stored_says_which_fields_and_what_to_do() -> None:
    """One sentence with all of them."""
    with pytest.raises(StateMisfit) as raised:
        Grown.of_stored({"kept": "none", "lost": 1})
    said = str(raised.value)
    assert said.startswith("Grown does not fit a state that is stored: ")
    assert "'kept': Input should be a valid integer" in said
    assert "its field 'needed' is not stored (give it a default)" in said
    assert "the stored field 'lost' is none of its own (keep it with a default" in said
