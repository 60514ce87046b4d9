"""Key templates: which document an event touches, and that no two events share one by chance."""

import string
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.errors import DeclarationError, HandlerFault
from pipeline.event import Event
from pipeline.keys import KeyTemplate
from pipeline.state import State


class Order(State):
    """A state to name fields of."""

    status: str = "new"
    amount: int | None = None


def event(payload: dict[str, Any] | None = None, **changes: str) -> Event:
    """An event with some fields changed."""
    envelope = {"event_id": "e1", "tenant": "acme", "source": "crm", "type": "a", "entity_id": "b"}
    moment = datetime(2024, 5, 1, tzinfo=UTC)
    return Event(**(envelope | changes), occurred_at=moment, payload=payload or {})


@pytest.mark.parametrize(
    ("template", "key"),
    [
        ("{tenant}", "acme"),
        ("{tenant}:{entity_id}", "acme:b"),
        ("{tenant}:{source}:{event_id}:{type}", "acme:crm:e1:a"),
        ("{tenant}:{payload.a.b}", "acme:7"),
        ("{tenant}:fixed", "acme:fixed"),
        ("{tenant}:{entity_id}:end", "acme:b:end"),
        ("{tenant}:{after.status}", "acme:done"),
    ],
)
def test_a_template_is_filled_from_event_and_state(template: str, key: str) -> None:
    """Envelope, payload by its path, and the state after the event."""
    made = KeyTemplate(template, Order)
    assert made(event({"a": {"b": 7}}), Order(status="done")) == key


@pytest.mark.parametrize(
    "template",
    ["", "x", "{entity_id}", "{entity_id}:{tenant}", "{tenant}-{entity_id}", "x{tenant}"],
)
def test_a_template_that_does_not_start_with_the_tenant_is_refused(template: str) -> None:
    """No handler reaches across tenants."""
    with pytest.raises(DeclarationError, match="must start with"):
        KeyTemplate(template)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("entity_ids", "did you mean 'entity_id'"),
        ("after.statu", "did you mean 'status'"),
        ("payload", "nothing is called 'payload'"),
        ("", "nothing is called ''"),
        ("occurred_at", "nothing is called"),
    ],
)
def test_a_placeholder_that_names_nothing_is_refused_with_a_hint(name: str, hint: str) -> None:
    """At the declaration, not at the first event."""
    with pytest.raises(DeclarationError, match=hint):
        KeyTemplate(f"{{tenant}}:{{{name}}}", Order)


def test_the_state_can_not_be_named_where_there_is_none() -> None:
    """An action's key is made before its state is."""
    with pytest.raises(DeclarationError, match=r"after\.status"):
        KeyTemplate("{tenant}:{after.status}")


@pytest.mark.parametrize("template", ["{tenant}:{", "{tenant}:}", "{tenant}:{entity_id"])
def test_a_template_with_a_stray_brace_is_refused(template: str) -> None:
    """As every wrong declaration, with the framework's own error."""
    with pytest.raises(DeclarationError):
        KeyTemplate(template)


@pytest.mark.parametrize("template", ["{tenant}:{entity_id!r}", "{tenant}:{entity_id:>9}"])
def test_a_template_with_a_format_is_refused(template: str) -> None:
    """It would have no effect."""
    with pytest.raises(DeclarationError):
        KeyTemplate(template)


@pytest.mark.parametrize("payload", [{}, {"a": None}, {"a": [1]}, {"a": {"b": 1}}])
def test_an_event_without_a_value_for_the_key_is_at_fault(payload: dict[str, Any]) -> None:
    """Absent, null, or no single value."""
    with pytest.raises(HandlerFault, match=r"payload\.a"):
        KeyTemplate("{tenant}:{payload.a}")(event(payload))


def test_a_state_without_a_value_for_the_key_is_at_fault() -> None:
    """None in the state is no key."""
    with pytest.raises(HandlerFault, match=r"after\.amount"):
        KeyTemplate("{tenant}:{after.amount}", Order)(event(), Order())


def test_the_fields_of_a_key_are_named_by_their_last_word() -> None:
    """Derived documents are created with them, to be searched by."""
    template = KeyTemplate("{tenant}:{payload.a.city}:{after.status}", Order)
    fields = template.fields(event({"a": {"city": "Rome"}}), Order())
    assert fields == {"tenant": "acme", "city": "Rome", "status": "new"}


texts = st.text(":%-x", max_size=3)
literals = st.sampled_from([":", "-", "", ":x:", "-:"])


@given(st.lists(literals, min_size=1, max_size=3), st.data())
def test_different_values_never_make_the_same_key(between: list[str], data: st.DataObject) -> None:
    """For any template that is accepted: colons in values are escaped, and join nothing."""
    names = string.ascii_lowercase[: len(between)]
    parts = zip(between, names, strict=True)
    text = "{tenant}:" + "".join(f"{literal}{{payload.{name}}}" for literal, name in parts)
    try:
        template = KeyTemplate(text)
    except DeclarationError:
        assume(False)
    filled = st.fixed_dictionaries(dict.fromkeys(names, texts))
    one, other = data.draw(filled), data.draw(filled)
    assert (template(event(one)) == template(event(other))) == (one == other)


@pytest.mark.parametrize("between", ["", "-", "x"])
def test_values_that_no_colon_parts_are_refused_or_told_apart(between: str) -> None:
    """Else `p-`, `q` and `p`, `-q` were one document."""
    text = f"{{tenant}}:{{payload.a}}{between}{{payload.b}}"
    one, other = {"a": f"p{between}r", "b": "q"}, {"a": "p", "b": f"r{between}q"}
    try:
        template = KeyTemplate(text)
    except DeclarationError:
        return
    if between:
        assert template(event(one)) != template(event(other))
    assert template(event({"a": "pq", "b": "r"})) != template(event({"a": "p", "b": "qr"}))


@given(st.sampled_from(["a", "ab", "a-b"]), st.sampled_from(["a", "ab", "a-b"]), texts, texts)
def test_keys_of_two_tenants_never_meet(one: str, other: str, mine: str, theirs: str) -> None:
    """Whatever the rest of the key says."""
    template = KeyTemplate("{tenant}:{payload.a}")
    keys = [template(event({"a": a}, tenant=t)) for t, a in ((one, mine), (other, theirs))]
    assert one == other or keys[0] != keys[1]


def test_a_key_is_made_of_values_as_it_is_of_an_event() -> None:
    """Colons and percent signs escaped, but in the last one; the names say which are which."""
    template = KeyTemplate("{tenant}:{payload.page.name}:{entity_id}:end")
    made = event(entity_id="a:b%", payload={"page": {"name": "x:y%z"}})
    assert template(made) == template.of(made.tenant, "x:y%z", "a:b%")
    assert template.of("acme", "x:y%z", "a:b%") == "acme:x%3Ay%25z:a:b%:end"
    assert template.names == ("tenant", "name", "entity_id")
