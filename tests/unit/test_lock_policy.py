"""Which policy holds for a handler and a tenant."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.errors import PipelineError
from pipeline.locks import LockPolicy, WhenBusy
from pipeline.policies import PolicyTable, PolicyWatch, checked
from pipeline.store.policies import Scope

EVERYBODY = Scope(None, None)
ACME = Scope(None, "acme")
APPLY = Scope("tickets.apply", None)
APPLY_FOR_ACME = Scope("tickets.apply", "acme")

Stored = Mapping[Scope, Mapping[str, Any]]

names = st.sampled_from([None, "a", "b"])
values = st.fixed_dictionaries(
    {},
    optional={
        "enabled": st.booleans(),
        "ttl_ms": st.integers(1_000, 600_000),
        "wait_ms": st.integers(0, 60_000),
        "when_busy": st.sampled_from([one.value for one in WhenBusy]),
    },
)
stored_policies = st.dictionaries(st.builds(Scope, names, names), values)


def expected(stored: Stored, handler: str | None, tenant: str | None, name: str) -> Any:
    """The value by the rule itself: ask each scope, the most specific first."""
    for scope in ((handler, tenant), (handler, None), (None, tenant), (None, None)):
        if name in stored.get(Scope(*scope), {}):
            return stored[Scope(*scope)][name]
    return getattr(LockPolicy(), name)


@given(stored_policies, names, names)
def test_each_value_is_that_of_the_most_specific_scope_that_sets_it(
    stored: Stored, handler: str | None, tenant: str | None
) -> None:
    """Handler with tenant, then handler, then tenant, then everybody, then the default."""
    table = PolicyTable(stored, LockPolicy())
    policy = table.policy_for(handler, tenant)
    for name in LockPolicy.model_fields:
        assert getattr(policy, name) == expected(stored, handler, tenant, name)
    assert table.policy_for(handler, tenant) == policy


@given(stored_policies, names, names)
def test_the_order_in_which_policies_are_stored_does_not_matter(
    stored: Stored, handler: str | None, tenant: str | None
) -> None:
    """The same scopes make the same table."""
    turned = dict(reversed(list(stored.items())))
    one, other = PolicyTable(stored, LockPolicy()), PolicyTable(turned, LockPolicy())
    assert one.policy_for(handler, tenant) == other.policy_for(handler, tenant)


def test_a_tenant_switched_off_keeps_what_was_tuned_for_a_handler() -> None:
    """Values are decided one by one, so neither setting undoes the other."""
    table = PolicyTable({ACME: {"enabled": False}, APPLY: {"ttl_ms": 20_000}}, LockPolicy())
    policy = table.policy_for("tickets.apply", "acme")
    assert (policy.enabled, policy.ttl_ms) == (False, 20_000)


def test_a_handler_decides_before_a_tenant() -> None:
    """Where both set a value, and nothing is set for the two together."""
    table = PolicyTable({ACME: {"wait_ms": 1}, APPLY: {"wait_ms": 2}}, LockPolicy())
    assert table.policy_for("tickets.apply", "acme").wait_ms == 2


def test_a_default_of_the_process_is_the_widest_scope_of_all() -> None:
    """Anything stored goes before it."""
    table = PolicyTable({EVERYBODY: {"wait_ms": 7}}, LockPolicy(wait_ms=1, ttl_ms=2_000))
    policy = table.policy_for("tickets.apply", "acme")
    assert (policy.wait_ms, policy.ttl_ms) == (7, 2_000)


def test_a_policy_is_resolved_once_for_each_pair() -> None:
    """Asking for every event of a batch costs a look into a dict."""
    table = PolicyTable({}, LockPolicy())
    assert table.policy_for("tickets.apply", "acme") is table.policy_for("tickets.apply", "acme")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ttl_ms", 999),
        ("ttl_ms", 600_001),
        ("wait_ms", -1),
        ("wait_ms", 60_001),
        ("when_busy", "hope"),
        ("enabled", "perhaps"),
        ("colour", "red"),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_name(name: str, value: object) -> None:
    """From one second to ten minutes of life, up to a minute of waiting, nothing unknown."""
    with pytest.raises(PipelineError, match=name):
        checked(LockPolicy, {name: value})


def test_a_policy_cannot_be_changed() -> None:
    """Threads share it."""
    with pytest.raises(ValidationError):
        LockPolicy().ttl_ms = 5_000  # type: ignore[misc]


def test_a_scope_that_cannot_be_understood_is_left_out_alone() -> None:
    """One edited by hand must not switch off the others."""
    spoilt: dict[Scope, Any] = {APPLY_FOR_ACME: {"ttl_ms": "long"}, Scope(None, "acme"): 3}
    table = PolicyTable({**spoilt, APPLY: {"ttl_ms": 20_000}}, LockPolicy())
    assert table.policy_for("tickets.apply", "acme").ttl_ms == 20_000
    assert list(table.refused) == list(spoilt)
    assert "ttl_ms" in table.refused[APPLY_FOR_ACME]
    assert "3 are no values" in table.refused[Scope(None, "acme")]


def test_a_watch_keeps_what_it_has_while_the_policies_cannot_be_read() -> None:
    """And follows again when they can."""
    answers: list[Stored | Exception] = [
        {APPLY: {"wait_ms": 1}},
        OSError("gone"),
        OSError("gone"),
        {APPLY: {"wait_ms": 2}},
        {},
    ]

    def read() -> Stored:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    watch = PolicyWatch(read, LockPolicy())
    seen = []
    while answers:
        watch.look()
        seen.append(watch.policy_for("tickets.apply", "acme").wait_ms)
    assert seen == [1, 1, 1, 2, LockPolicy().wait_ms]


def test_ids_of_scopes_never_meet() -> None:
    """All handlers of a tenant are not all tenants of a handler of that name."""
    scopes = [Scope(handler, tenant) for handler in (None, "a", "b") for tenant in (None, "a", "b")]
    assert len({scope.id for scope in scopes}) == len(scopes)
