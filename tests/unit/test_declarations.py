"""Declarations fail where they stand, with what is wrong and a guess at the cause."""

from typing import Any

import pytest

from pipeline import Change, Event, State, Update, action, inc, observer
from pipeline.declarations import RESERVED_TABLES, Action, Commutative, Fold, Lane, Observer
from pipeline.errors import DeclarationError


class Order(State):
    """A state."""

    status: str = "new"


def fold(state: Order | None, event: Event) -> Order:
    """A fold's function."""
    return state or Order()


def count(event: Event) -> Update:
    """A commutative action's function."""
    return inc(n=1)


def see(change: Change[Order], event: Event) -> Update:
    """An observer's function."""
    return inc(n=1)


def an_action(function: Any = fold, name: str = "orders.apply", **changes: Any) -> Action:
    """An action, declared with some changes."""
    options = {"on": "order.*", "table": "orders", "key": "{tenant}:{entity_id}"} | changes
    return action(name, **options)(function)


def an_observer(function: Any = see, name: str = "totals.count", **changes: Any) -> Observer:
    """An observer, declared with some changes."""
    options = {"after": an_action(), "table": "totals", "key": "{tenant}"} | changes
    return observer(name, **options)(function)


def test_a_function_of_state_and_event_is_a_fold() -> None:
    """Its state's model is read from the type hint; its history has a name by itself."""
    made = an_action()
    assert isinstance(made, Fold)
    assert (made.state, made.history) == (Order, "orders_changes")
    assert (made.on, made.lane, made.root) == (("order.*",), Lane.ACTIONS, made)


def test_a_history_may_be_named() -> None:
    """As the requirements name one."""
    made = an_action(history="order_log")
    assert isinstance(made, Fold)
    assert made.history == "order_log"


def test_a_function_of_the_event_alone_is_commutative() -> None:
    """No state, no history."""
    made = an_action(count)
    assert isinstance(made, Commutative)


def test_a_handler_can_be_called_as_its_function() -> None:
    """So that a unit test of it needs no pipeline."""
    assert an_action()(Order(status="x"), None) == Order(status="x")


def test_an_observer_of_an_observer_has_the_fold_at_its_root() -> None:
    """It sees the change of the action at the head of the chain."""
    first = an_observer()
    second = an_observer(name="totals.more", after=first, key="{tenant}:{after.status}")
    assert second.root is first.after
    assert second.lane is Lane.OBSERVERS


def test_importing_the_lanes_gives_observers_first() -> None:
    """A worker finishes what is begun before it begins more."""
    assert list(Lane) == ["observers", "actions", "effects", "repair"]


@pytest.mark.parametrize(
    "name",
    ["", "apply", "Orders.apply", "orders.", ".apply", "orders apply", "orders.app-ly", "1.a"],
)
def test_a_name_that_is_no_handler_name_is_refused(name: str) -> None:
    """It is stored and joined to keys; two words at least."""
    with pytest.raises(DeclarationError, match="is no handler name"):
        an_action(name=name)
    with pytest.raises(DeclarationError, match="is no handler name"):
        an_observer(name=name)


@pytest.mark.parametrize("field", ["table", "history"])
@pytest.mark.parametrize("table", ["Orders", "or-ders", "1orders", "orders.x", "$x", "a" * 101])
def test_a_name_that_is_no_table_is_refused(field: str, table: str) -> None:
    """For both tables of a fold."""
    with pytest.raises(DeclarationError, match="is no table name"):
        an_action(**{field: table})


def test_a_line_break_at_the_end_is_no_part_of_a_name() -> None:
    """A pattern's `$` would let it through."""
    with pytest.raises(DeclarationError):
        an_action(name="orders.apply\n")
    with pytest.raises(DeclarationError):
        an_action(table="orders\n")


@pytest.mark.parametrize("table", sorted(RESERVED_TABLES))
def test_the_tables_of_the_framework_are_refused(table: str) -> None:
    """For every kind of handler."""
    for declare in (an_action, an_observer):
        with pytest.raises(DeclarationError, match="the framework's own"):
            declare(table=table)
    with pytest.raises(DeclarationError, match="the framework's own"):
        an_action(history=table)


def test_a_fold_whose_history_is_its_own_table_is_refused() -> None:
    """Rows and documents would overwrite each other."""
    with pytest.raises(DeclarationError):
        an_action(history="orders")


def test_a_history_without_a_fold_is_refused() -> None:
    """There is nothing to keep one of."""
    with pytest.raises(DeclarationError, match="only a fold"):
        an_action(count, history="orders_changes")


@pytest.mark.parametrize("function", [lambda: None, lambda _a, _b, _c: None])
def test_a_function_of_another_shape_is_refused(function: Any) -> None:
    """The expected shapes are named."""
    with pytest.raises(DeclarationError, match=r"expected \(event\) or \(state, event\)"):
        an_action(function)
    with pytest.raises(DeclarationError, match=r"expected \(change, event\)"):
        an_observer(function)


def test_a_fold_without_the_type_of_its_state_is_refused_with_an_example() -> None:
    """The model is needed to read documents back."""

    def untyped(state, event):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        return state

    def wrong(state: dict[str, Any] | None, event: Event) -> None: ...

    for function in (untyped, wrong):
        with pytest.raises(DeclarationError, match=r"'state: Appointment \| None'"):
            an_action(function)


def test_a_type_hint_that_can_not_be_read_is_refused() -> None:
    """Such as a name imported for type checkers only."""

    def unknown(state: "Missing | None", event: Event) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(DeclarationError, match="Missing"):
        an_action(unknown)


def test_an_observer_of_a_commutative_action_is_refused_with_a_way_out() -> None:
    """There is no change to see."""
    with pytest.raises(DeclarationError, match="declare an action on the same events instead"):
        an_observer(after=an_action(count))


def test_an_observer_of_what_is_no_handler_is_refused() -> None:
    """A plain function, most often a forgotten decorator."""
    with pytest.raises(DeclarationError, match="takes a handler"):
        an_observer(after=fold)


@pytest.mark.parametrize("table", ["orders", "orders_changes"])
def test_an_observer_can_not_write_the_tables_of_its_fold(table: str) -> None:
    """A refold would lose what it wrote."""
    with pytest.raises(DeclarationError, match="belongs to the fold"):
        an_observer(table=table)


def test_a_key_is_checked_with_the_declaration() -> None:
    """With its hint, for the state's fields too."""
    with pytest.raises(DeclarationError, match="did you mean 'entity_id'"):
        an_action(key="{tenant}:{entity}")
    with pytest.raises(DeclarationError, match="did you mean 'status'"):
        an_observer(key="{tenant}:{after.statsu}")


def test_indexes_are_on_fields_that_documents_have() -> None:
    """Of a fold's state; of other documents what their key is made of."""
    assert an_action(indexes="status").indexes == ("status",)
    assert an_action(count, key="{tenant}:{payload.page}", indexes=("page",)).indexes == ("page",)
    made = an_observer(key="{tenant}:{after.status}", indexes=("status", "status"))
    assert made.indexes == ("status",)
    assert an_action().indexes == ()


@pytest.mark.parametrize(
    ("declare", "told"),
    [
        (lambda: an_action(indexes="staus"), "did you mean 'status'.; there can be one on status"),
        (lambda: an_action(indexes=("_id",)), "no index on '_id'"),
        (lambda: an_action(count, indexes="n"), "there can be one on tenant, entity_id"),
        (lambda: an_observer(indexes="status"), "there can be one on tenant"),
    ],
)
def test_an_index_on_nothing_is_refused_with_a_hint(declare: Any, told: str) -> None:
    """Where it is declared, since an index nobody fills only costs."""
    with pytest.raises(DeclarationError, match=told):
        declare()


def test_only_a_fold_has_a_timeline() -> None:
    """It is its history's."""
    made = an_action(timeline=True)
    assert isinstance(made, Fold)
    assert made.timeline
    with pytest.raises(DeclarationError, match="has a history"):
        an_action(count, timeline=True)


def test_a_fold_may_know_the_numbers_of_its_events() -> None:
    """With the one they begin with; none unless it says so."""
    known, unknown = an_action(numbered_from=1), an_action()
    assert isinstance(known, Fold)
    assert isinstance(unknown, Fold)
    assert (known.numbered_from, unknown.numbered_from) == (1, None)


@pytest.mark.parametrize("number", [-1, 2**63])
def test_events_are_not_numbered_from_what_no_event_may_have(number: int) -> None:
    """An event's sequence is from 0 to 2^63 - 1."""
    with pytest.raises(DeclarationError, match="numbered_from= takes the number"):
        an_action(numbered_from=number)


def test_only_a_fold_knows_numbers() -> None:
    """A commutative action has no order to know."""
    with pytest.raises(DeclarationError, match="only a fold"):
        an_action(count, numbered_from=0)
