"""Names that stand for other names."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipeline.event import Event
from tests.facts import NOON
from workers.pseudonyms import Pseudonyms, without

TEXTS = st.text(min_size=1, max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
PAYLOADS = st.dictionaries(TEXTS, VALUES, max_size=4)


def shape(value: Any) -> Any:
    """A value without what its texts and numbers say."""
    match value:
        case dict():
            return {name: shape(one) for name, one in value.items()}
        case list():
            return [shape(one) for one in value]
        case bool() | None:
            return value
        case _:
            return type(value)


def leaves(value: Any) -> list[str]:
    """All texts of a value."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return [text for one in inner for text in leaves(one)]
    return [value] if isinstance(value, str) else []


@given(TEXTS, TEXTS, TEXTS)
def test_the_same_seed_gives_the_same_name_and_another_another(
    one: str, other: str, seed: str
) -> None:
    """And two names never have one pseudonym."""
    names = Pseudonyms(seed)
    assert names.of(one) == Pseudonyms(seed).of(one)
    assert names.of(one) != Pseudonyms(f"{seed}x").of(one)
    assert (names.of(one) == names.of(other)) == (one == other)


@given(PAYLOADS)
def test_a_payload_keeps_its_shape_and_none_of_its_texts(payload: dict[str, Any]) -> None:
    """Names of fields stay; every text is the pseudonym of what it was."""
    names = Pseudonyms("seed")
    found = names.payload(payload)
    assert shape(found) == shape(payload)
    assert leaves(found) == [names.of(text) for text in leaves(payload)]
    assert names.payload(payload) == found


@given(PAYLOADS)
def test_without_anything_dropped_a_payload_is_the_same(payload: dict[str, Any]) -> None:
    """Whatever it holds."""
    assert without(payload, []) == payload


def test_an_event_under_other_names_is_an_event_and_its_parts_still_fit() -> None:
    """A text that is an entity's id goes under the entity's pseudonym."""
    names = Pseudonyms("seed")
    envelope = {"event_id": "é 1", "tenant": "acme", "source": "shop", "type": "a.b", "seq": 3}
    found = names.envelope({**envelope, "entity_id": "T1", "occurred_at": NOON})
    event = Event(**found, payload=names.payload({"lead": "T1"}))
    assert event.payload["lead"] == event.entity_id == names.of("T1")
    assert (event.source, event.type, event.seq, event.occurred_at) == ("shop", "a.b", 3, NOON)
    assert not {"é 1", "acme", "T1"} & {event.event_id, event.tenant, event.entity_id}


def test_what_is_kept_stays_and_what_is_dropped_goes() -> None:
    """Fields within fields, and those of objects in lists."""
    payload = {
        "starts_at": "2024-05-01",
        "who": {"name": "Ann", "city": {"name": "Rome", "zip": "1"}, "age": 40},
        "items": [{"name": "pen", "price": 2.5}, {"name": "ink"}],
        "": "",
    }
    names = Pseudonyms("seed", ["starts_at", "who.city", "items.price"], ["who.name", "items.name"])
    found = names.payload(payload)
    assert found["starts_at"] == "2024-05-01"
    assert found["who"]["city"] == {"name": "Rome", "zip": "1"}
    assert found["who"].keys() == {"city", "age"}
    assert found["who"]["age"] != 40
    assert found["items"] == [{"price": 2.5}, {}]
    assert found[""] == ""
    assert without(payload, ["who", "items"]).keys() == {"starts_at", ""}


def test_numbers_become_numbers_of_their_kind() -> None:
    """Truth values stay; the same number is the same again."""
    found = Pseudonyms("s").payload({"a": 17, "b": 17, "c": 17.0, "d": True, "e": 10**40})
    assert found["a"] == found["b"] != 17
    assert isinstance(found["a"], int)
    assert isinstance(found["c"], float)
    assert found["d"] is True
    assert all(0 <= found[name] < 1_000_000 for name in "ace")
    json.dumps(found)
