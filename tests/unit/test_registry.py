"""The registry: loading handlers by module, and which of them an event goes through."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import Change, Event, State, Update, action, inc, observer
from pipeline.declarations import Action, Handler, Observer
from pipeline.errors import DeclarationError, UnknownHandler
from pipeline.registry import Registry, load


class Order(State):
    """A state."""


def fold(name: str = "orders.apply", table: str = "orders", on: str = "order.*") -> Action:
    """A fold."""

    @action(name, on=on, table=table, key="{tenant}:{entity_id}")
    def apply(state: Order | None, event: Event) -> Order:
        return Order()

    return apply


def count(name: str, table: str, *on: str) -> Action:
    """A commutative action."""

    @action(name, on=on, table=table, key="{tenant}")
    def add(event: Event) -> Update:
        return inc(n=1)

    return add


def follow(name: str, after: Handler, table: str = "totals") -> Observer:
    """An observer."""

    @observer(name, after=after, table=table, key="{tenant}")  # type: ignore[arg-type]
    def see(change: Change[Order], event: Event) -> Update:
        return inc(n=1)

    return see


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a folder on the path of imports."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


MODULE = """
from pipeline import Event, Update, action, inc

@action("{name}", on="x.*", table="{table}", key="{{tenant}}")
def count(event: Event) -> Update:
    return inc(n=1)
"""


def test_an_event_goes_to_every_action_whose_pattern_it_matches() -> None:
    """A star stands for any text, and everything else for itself."""
    one, two = fold(on="order.*"), count("all.count", "alls", "*.placed", "exact")
    registry = Registry([one, two])
    assert registry.actions_for("order.placed") == (one, two)
    assert registry.actions_for("order.paid") == (one,)
    assert registry.actions_for("exact") == (two,)
    for kind in ("order", "orderXplaced", "exactly", "an.exact", "x.order.paid"):
        assert registry.actions_for(kind) == (), kind


def test_observers_form_a_tree_below_their_action() -> None:
    """Parents before children."""
    root = fold()
    first = follow("totals.count", root)
    second = follow("totals.more", first)
    third = follow("totals.other", root)
    registry = Registry([root, first, second, third])
    assert registry.observers_of(root) == [first, third]
    assert registry.observers_of(second) == []
    assert registry.observers_below(root) == [first, second, third]


def test_all_tables_are_known_temporal_ones_included() -> None:
    """They are created before the first transaction."""
    root = fold()
    registry = Registry([root, follow("totals.count", root)])
    assert registry.tables() == ["orders", "orders_changes", "totals"]


def test_a_name_declared_twice_is_refused() -> None:
    """The ledger knows handlers by their names."""
    with pytest.raises(DeclarationError, match=r"orders\.apply is declared twice"):
        Registry([fold(), fold(table="others")])


def test_an_observer_whose_action_is_not_loaded_is_refused() -> None:
    """It would never run; the missing module is named."""
    root = fold()
    with pytest.raises(DeclarationError, match="is not loaded"):
        Registry([follow("totals.count", root)])
    with pytest.raises(DeclarationError, match="is not loaded"):
        Registry([fold(), follow("totals.count", root)])


@pytest.mark.parametrize("table", ["orders", "orders_changes"])
def test_the_tables_of_a_fold_have_one_writer(table: str) -> None:
    """Neither a commutative action nor another fold nor another's observer."""
    other = fold("others.apply", "others")
    for intruders in (
        [count("orders.count", table, "x")],
        [fold("more.apply", table)],
        [other, follow("totals.count", other, table)],
    ):
        for handlers in ([fold(), *intruders], [*intruders, fold()]):
            with pytest.raises(DeclarationError, match="belongs to the fold"):
                Registry(handlers)


def test_derived_tables_may_have_many_writers() -> None:
    """Sums add up whoever adds."""
    root = fold()
    Registry([root, follow("totals.count", root), count("totals.add", "totals", "x")])


def test_an_unknown_handler_is_refused_with_a_hint() -> None:
    """The nearest name, and where names come from."""
    with pytest.raises(UnknownHandler, match=r"did you mean 'orders\.apply'.*PIPELINE_HANDLERS"):
        Registry([fold()]).handler("orders.aply")


def test_the_appointments_are_loaded_by_the_name_of_their_package() -> None:
    """With all modules below it, each handler once."""
    registry = load(["handlers.appointments", "handlers.appointments.observers"])
    assert {handler.name for handler in registry} >= {"appointments.apply", "conversions.count"}


def test_a_new_handler_touches_no_file_but_its_own(folder: Path) -> None:
    """A module found by its name is enough."""
    (folder / "fresh_domain.py").write_text(MODULE.format(name="fresh.count", table="fresh"))
    assert [handler.name for handler in load(["fresh_domain"])] == ["fresh.count"]


def test_two_modules_that_declare_one_name_are_both_named(folder: Path) -> None:
    """A copy of a module is the usual cause."""
    (folder / "twin_one.py").write_text(MODULE.format(name="twin.count", table="one"))
    (folder / "twin_two.py").write_text(MODULE.format(name="twin.count", table="two"))
    with pytest.raises(DeclarationError, match=r"twin_one.*twin_two"):
        load(["twin_one", "twin_two"])


def test_a_module_that_is_not_there_is_refused_with_a_guess() -> None:
    """Most often the folder is not on the path."""
    with pytest.raises(DeclarationError, match=r"'no_such_domain' can't be found.*PYTHONPATH"):
        load(["no_such_domain"])


def test_a_module_that_imports_what_is_missing_says_so_itself(folder: Path) -> None:
    """The handler module is there; another's absence is not blamed on it."""
    (folder / "needy_domain.py").write_text("import no_such_library\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        load(["needy_domain"])


def test_a_module_without_handlers_is_refused(folder: Path) -> None:
    """A setting that names the wrong module is found at the start."""
    (folder / "empty_domain.py").write_text("")
    with pytest.raises(DeclarationError, match="declares no handler"):
        load(["empty_domain"])


def test_indexes_are_gathered_by_table() -> None:
    """Each once, whoever asks; equal values by id, and a timeline on the history."""

    @action("o.a", on="o.*", table="os", key="{tenant}:{entity_id}", timeline=True)
    def apply(state: Order | None, event: Event) -> Order:
        return Order()

    @observer("o.one", after=apply, table="t", key="{tenant}:{type}", indexes=("type",))
    def one(change: Change[Order], event: Event) -> Update:
        return inc(n=1)

    @observer("o.two", after=apply, table="t", key="{tenant}:{type}", indexes=("tenant", "type"))
    def two(change: Change[Order], event: Event) -> Update:
        return inc(n=1)

    assert Registry([apply, one, two, count("p.c", "p", "p.*")]).indexes() == {
        "os_changes": [("valid_from",)],
        "t": [("type", "_id"), ("tenant", "_id")],
    }
