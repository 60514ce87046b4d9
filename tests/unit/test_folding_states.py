"""Folding where states are hard to tell apart, or their model is another one by now."""

from typing import Any, Final

import pytest
from pydantic import ConfigDict

from pipeline import Event, State, action
from pipeline.declarations import Fold
from pipeline.errors import StateMisfit
from pipeline.updates.ordering import same_fields
from tests.shelf import Shelf, calls, fact


class Held(State):
    """Holds whatever it is given."""

    value: Any = None


@action("held.apply", on="*", table="held", key="{tenant}")
def apply_held(state: Held | None, event: Event) -> Held:
    """What the payload says, or what it was."""
    return Held(value=event.payload.get("value", state.value if state else None))


UNLIKE: Final = [
    (1, True),
    (1, 1.0),
    (0, False),
    ([1], [True]),
    ({"a": {"b": 1}}, {"a": {"b": 1.0}}),
]


@pytest.mark.parametrize(("one", "other"), UNLIKE, ids=repr)
def test_a_change_of_type_alone_is_a_change(one: object, other: object) -> None:
    """Forwards and backwards: taken out, and with a late event before it."""
    first, second = fact("e1", 1, value=one), fact("e3", 3, value=other)
    shelf = Shelf(action=apply_held)
    shelf.take(first)
    assert shelf.take(second).wrote[second.key].paths == {"value"}
    shelf.take(fact("e2", 2))
    states = [row.state for row in shelf.chain()]
    assert all(map(same_fields, states, [{"value": one}, {"value": one}, {"value": other}]))
    shelf.lose(second)
    assert shelf.standing is not None
    assert same_fields(shelf.standing.state, {"value": one})
    late = Shelf(action=apply_held)
    late.take(fact("e2", 2, value=other), fact("e4", 4))
    late.take(fact("e3", 3, value=one))
    assert same_fields(late.chain()[-1].state, {"value": one})


class Old(State):
    """A model as it was."""

    a: int = 0


class New(State):
    """The same with another field."""

    a: int = 0
    b: int = 5


class Lenient(State):
    """A model that lost `a`, and says that this is meant."""

    model_config = ConfigDict(extra="ignore")

    b: int = 5


class Strict(State):
    """A model that lost `a`, and says nothing of it."""

    b: int = 5


def _fold_of(model: type[State]) -> Fold:
    def function(state: State | None, event: Event) -> State:
        calls.append(event.event_id)
        return (state or model()).replace(**event.payload)

    function.__annotations__ |= {"state": model | None, "return": model}
    return action("models.apply", on="*", table="models", key="{tenant}")(function)


def test_a_field_that_a_model_has_got_has_its_default_in_the_past() -> None:
    """It does not have the value there that a later event gave it."""
    shelf = Shelf(action=_fold_of(Old))
    shelf.take(fact("e1", 1, a=1))
    shelf.action = _fold_of(New)
    assert shelf.take(fact("e3", 3, b=7)).wrote["e3@acme/desk"].paths == {"b"}
    shelf.take(fact("e2", 2, a=2))
    assert [row.state for row in shelf.chain()] == [{"a": 1}, {"a": 2, "b": 5}, {"a": 2, "b": 7}]
    assert [row.before for row in shelf.chain()] == [None, {"a": 1, "b": 5}, {"a": 2, "b": 5}]


def test_rows_from_before_a_model_had_a_field_are_not_made_again_for_it() -> None:
    """What follows one of them follows it still: the default says the same as nothing."""
    shelf = Shelf(action=_fold_of(Old))
    shelf.take(*(fact(f"e{n}", n, a=n) for n in range(1, 9)))
    shelf.action = _fold_of(New)
    calls.clear()
    shelf.take(fact("late", 3, 5, a=33))
    assert calls == ["late", "e4"]
    assert shelf.standing is not None
    assert shelf.standing.state == {"a": 8}


def test_a_stored_field_that_a_model_has_lost_makes_events_fail_in_words() -> None:
    """Each of them, and nothing else; taking one out is refused, and no other event falls."""
    shelf = Shelf(action=_fold_of(Old))
    events = [fact(f"e{n}", n, a=n) for n in range(1, 4)]
    shelf.take(*events)
    shelf.action = _fold_of(Strict)
    stood = shelf.standing
    folded = shelf.take(fact("e4", 4, b=1), fact("l1", 1, 5, b=1))
    assert set(folded.faults) == {"e4@acme/desk", "l1@acme/desk"}
    for fault in folded.faults.values():
        assert isinstance(fault, StateMisfit)
        assert "Strict does not fit" in str(fault)
        assert "the stored field 'a' is none of its own" in str(fault)
        assert "extra='ignore'" in str(fault)
    with pytest.raises(StateMisfit, match="'a'"):
        shelf.lose(events[1])
    assert shelf.standing == stood


def test_a_stored_field_that_a_model_says_to_pass_over_is_gone_from_then_on() -> None:
    """From what is written; what was written before keeps it."""
    shelf = Shelf(action=_fold_of(Old))
    shelf.take(fact("e1", 1, a=1))
    shelf.action = _fold_of(Lenient)
    assert not shelf.take(fact("e2", 2, b=7)).faults
    assert [row.state for row in shelf.chain()] == [{"a": 1}, {"b": 7}]
    assert shelf.chain()[1].before == {"b": 5}
