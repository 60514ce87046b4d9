"""The sequential run in memory: what a failure takes with it, and what it leaves."""

from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest

from pipeline import Event, State, Update, action, inc, maximum
from pipeline.declarations import Action
from pipeline.errors import UnknownHandler
from pipeline.registry import Registry
from pipeline.replay import Failure, replay
from pipeline.updates import assign
from tests.unit.test_replay import FIRST, NOON, SECOND, THIRD, everything, fact, run, single


def test_an_event_that_fails_in_a_fold_might_as_well_never_have_come() -> None:
    """Its observers are not run either; another action of it is."""
    viewed = fact("e2", 2, type="ticket.viewed", page="home", fails=["tickets.apply"])
    tables = run(FIRST, viewed, THIRD)
    alone = run(FIRST, THIRD)
    for name in set(tables) - {"pages"}:
        assert tables.documents(name) == alone.documents(name)
    assert tables.documents("pages")["acme:home"]["views"] == 1
    assert tables.failures == [
        Failure(viewed.key, "tickets.apply", "RuntimeError: told to fail in tickets.apply")
    ]


def test_a_failure_on_a_first_event_leaves_no_document() -> None:
    """The next one finds nothing, as if it were the first."""
    broken = fact("e1", 1, owner="ann", fails=["tickets.apply"])
    assert everything(run(broken)) == everything(run())
    assert everything(run(broken, SECOND)) == everything(run(SECOND))


def test_where_an_observer_fails_those_below_it_are_not_run_and_its_siblings_are() -> None:
    """The chain goes through it."""
    broken = fact("e1", 1, fails=["owners.count"])
    tables = run(broken, SECOND)
    assert tables.documents("owners")["acme:nobody"]["changes"]["all"] == 1
    assert tables.documents("tenants")["acme"]["changes"] == 1
    assert tables.documents("seen")["acme"]["changes"] == 2
    assert [failure[:2] for failure in tables.failures] == [(broken.key, "owners.count")]


def test_an_observer_below_that_fails_takes_nothing_from_the_one_above() -> None:
    """Only what follows is left out."""
    tables = run(fact("e1", 1, add=1, fails=["tenants.count", "pages.count"]))
    assert {name: len(tables[name]) for name in ("owners", "tenants", "seen")} == {
        "owners": 1,
        "tenants": 0,
        "seen": 1,
    }


class Bare(State):
    """Holds anything."""

    value: Any = None


@pytest.mark.parametrize(
    ("returned", "error"),
    [
        pytest.param({"n": 1}, "HandlerFault: sums.count returned", id="no update"),
        pytest.param(assign(n=1), "HandlerFault: sums.count assigns", id="an assignment"),
        pytest.param(inc(tenant=1), "UpdateError: 'tenant' stands in both", id="the key's field"),
        pytest.param(inc({"tenant.n": 1}), "UpdateError: 'tenant'", id="in the key's field"),
        pytest.param(
            maximum({"_sync.contributions": 1}), "UpdateError: '_sync.contr", id="the stamp"
        ),
    ],
)
@pytest.mark.parametrize("before", [0, 1])
def test_a_result_that_cannot_be_used_is_a_failure(returned: Any, error: str, before: int) -> None:
    """On a new document and on one that is there."""
    count = single(lambda event: inc(n=1) if event.event_id == "e0" else returned)
    tables = run(*[fact("e0")][:before], fact("e1", 1), handlers=(count,))
    (failure,) = tables.failures
    assert failure.error.startswith(error)
    assert [doc["n"] for doc in tables.documents("sums").values()] == [1] * before


def test_a_key_that_cannot_be_made_is_a_failure() -> None:
    """Of a fold too; nothing was written."""
    count = single(lambda _: inc(n=1), key="{tenant}:{payload.page}")

    @action("bare.apply", on="*", table="bare", key="{tenant}:{payload.page}")
    def apply_bare(_state: Bare | None, _event: Event) -> Bare:
        return Bare()

    tables = run(fact("e1"), handlers=(count, apply_bare))
    assert [failure.handler for failure in tables.failures] == ["sums.count", "bare.apply"]
    assert everything(tables) == {"sums": {}, "bare": {}, "bare_changes": {}}


def test_a_document_that_cannot_take_an_update_stays_as_it_was() -> None:
    """Its contributions are counted without it."""
    updates = {"e1": maximum(n="text"), "e2": inc(a=1, n=1), "e3": maximum(n="u")}
    count = single(lambda event: updates[event.event_id])
    tables = run(*(fact(name, n) for n, name in enumerate(updates)), handlers=(count,))
    assert tables.documents("sums")["acme"] == {
        "_id": "acme",
        "tenant": "acme",
        "n": "u",
        "_sync": {"contributions": 2, "event_at": NOON + timedelta(minutes=2)},
    }
    assert [failure.event for failure in tables.failures] == ["e2@acme/desk"]


def test_an_update_that_says_nothing_makes_no_document() -> None:
    """Nor does None."""
    tables = run(fact("e1"), handlers=(single(lambda _: Update.nothing()),))
    assert (len(tables["sums"]), tables.failures) == (0, [])


@action("bare.apply", on="*", table="bare", key="{tenant}:{entity_id}")
def apply_bare(state: Bare | None, event: Event) -> Any:
    """The state is what the payload says, taken from `values`."""
    returned = VALUES[event.payload["n"]]
    seen.append(state)
    return returned if event.payload.get("raw") else Bare(value=returned)


seen: list[Any] = []
VALUES: list[Any] = [
    "text",
    float("nan"),
    2**63,
    {"a": {1, 2}},
    ("a", (NOON + timedelta(microseconds=1),)),
    "\ud800",
    None,
]


@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize(("value", "raw"), [(1, 0), (2, 0), (3, 0), (5, 0), (0, 1), (6, 1)])
def test_a_state_that_mongodb_cannot_hold_is_a_failure(value: int, raw: int, before: int) -> None:
    """As is a fold that returns something else; on a new document and on one that is there."""
    events = [fact("e1", 1, n=0)][:before]
    events += [fact("e2", 2, n=value, raw=raw), fact("e3", 3, n=0)]
    tables = run(*events, handlers=(apply_bare,))
    assert [failure.event for failure in tables.failures] == ["e2@acme/desk"]
    orders = [None, *(event.order for event in events if event.event_id != "e2")]
    assert [row["prev"] for row in tables.documents("bare_changes").values()] == orders[:-1]


def test_a_handler_sees_the_state_in_the_form_that_mongodb_gives_back() -> None:
    """Lists for tuples of no declared type, whole milliseconds."""
    seen.clear()
    tables = run(fact("e1", 1, n=4), fact("e2", 2, n=4), handlers=(apply_bare,))
    assert seen == [None, Bare(value=["a", [NOON]])]
    assert tables.documents("bare")["acme:T1"]["value"] == ["a", [NOON]]
    (_, second) = tables.documents("bare_changes").values()
    assert second["changed"] == {}


def test_an_action_of_an_unknown_kind_is_refused() -> None:
    """Before any event is run."""
    known = single(lambda _: None)
    strange = Action(**{field.name: getattr(known, field.name) for field in fields(Action)})
    with pytest.raises(UnknownHandler, match=r"sums\.count is of no kind"):
        replay(Registry([strange]), [FIRST])
