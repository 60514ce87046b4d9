"""The envelope: what is accepted, what is refused and why, and how events are ordered."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import EventRejected
from pipeline.event import (
    Event,
    decode_payload,
    encode_payload,
    event_id_of,
    event_key,
    order_of,
    parse_event,
)

NOW: Final = datetime(2024, 6, 1, tzinfo=UTC)
LIMIT: Final = 4 * 1024 * 1024
ENVELOPE: Final[dict[str, Any]] = {
    "event_id": "e1",
    "tenant": "acme",
    "source": "crm",
    "type": "booking.created",
    "entity_id": "B1",
    "seq": 3,
    "occurred_at": "2024-05-01T12:00:00.000Z",
    "payload": {"a": 1},
}

names = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,8}\Z")
ids = st.text("aA@/|:%}.-é😀 9", min_size=1, max_size=8)
moments = st.datetimes(datetime(1900, 1, 1), datetime(2199, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
sequences = st.none() | st.integers(0, 120) | st.integers(0, 2**63 - 1)


def parse(line: str | bytes) -> Event:
    """Parse as the door does, and check the payload as the store does."""
    event = parse_event(line, now=NOW, max_skew=timedelta(days=1))
    encode_payload(event.payload, max_bytes=LIMIT)
    return event


def line(**changes: Any) -> str:
    """The envelope with some fields changed, as JSON."""
    return json.dumps(ENVELOPE | changes)


def event(**changes: Any) -> Event:
    """The envelope with some fields changed, parsed."""
    return parse(line(**changes))


def rejection(text: str | bytes) -> EventRejected:
    """Why the line is refused."""
    with pytest.raises(EventRejected) as caught:
        parse(text)
    assert caught.value.reason
    return caught.value


@given(moments, sequences)
def test_an_order_begins_with_the_time_in_whole_milliseconds(
    moment: datetime, seq: int | None
) -> None:
    """As isoformat has it; rows are stored under it, so it must stay the same for ever."""
    digits = "" if seq is None else str(seq)
    step = f"{' abcdefghijklmnopqrs'[len(digits)]}{digits}" if digits else "-"
    spelled = moment.replace(tzinfo=None).isoformat(timespec="milliseconds")
    assert order_of(moment, seq, "e@t/s") == f"{spelled}~{step}~e@t/s"


def test_an_envelope_is_read_as_it_is() -> None:
    """Every field, the time in UTC."""
    read = event()
    assert read.model_dump(exclude={"occurred_at"}) == {
        name: value for name, value in ENVELOPE.items() if name != "occurred_at"
    }
    assert read.occurred_at == datetime(2024, 5, 1, 12, tzinfo=UTC)


def test_sequence_and_payload_may_be_left_out() -> None:
    """Not every source has an order or anything to add."""
    short = {name: ENVELOPE[name] for name in ENVELOPE if name not in ("seq", "payload")}
    read = parse(json.dumps(short))
    assert (read.seq, read.payload) == (None, {})


def test_an_event_can_not_be_changed() -> None:
    """A fact stays as it was told."""
    with pytest.raises(ValueError, match="frozen"):
        event().tenant = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    "text",
    ["", " ", "{", "{}x", "null", "[]", "1", '"text"', "{'a': 1}", line()[:-1], b"\xff\xfe{}"],
)
def test_what_is_no_json_object_is_refused(text: str | bytes) -> None:
    """Malformed, cut short, of another type, or no UTF-8."""
    rejection(text)


@pytest.mark.parametrize(
    "name", ["event_id", "tenant", "source", "type", "entity_id", "occurred_at"]
)
def test_a_missing_field_is_named(name: str) -> None:
    """The rejection says which."""
    assert rejection(json.dumps({k: v for k, v in ENVELOPE.items() if k != name})).field == name


def test_a_field_of_no_envelope_is_refused_with_a_hint() -> None:
    """What the source says belongs into the payload."""
    refused = rejection(line(status="x"))
    assert refused.field == "status"
    assert "payload" in refused.reason


def test_more_faults_than_one_are_counted() -> None:
    """The first is described."""
    assert "and 1 more" in rejection(line(tenant=None, source=None)).reason


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((name, bad) for name in ("event_id", "entity_id") for bad in (1, None, True, [], {}, "")),
        *((name, bad) for name in ("event_id", "entity_id") for bad in ("a\0b", "a\nb", "\x7f")),
        *((name, bad) for name in ("event_id", "entity_id") for bad in ("x" * 201, "\x1b[0m")),
        *((name, bad) for name in ("tenant", "source") for bad in ("", "a:b", "a/b", "a@b", "é")),
        *((name, bad) for name in ("tenant", "source") for bad in (" a", "a\n", "x" * 65, 1, None)),
        *(("type", bad) for bad in ("", "a b", "a\n", ".a", "x" * 129, 1, None)),
        *(("seq", bad) for bad in (-1, 2**63, 1.0, "1", True, [])),
        *(("payload", bad) for bad in ([], "x", 1, None, True)),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(field: str, value: Any) -> None:
    """By the name of its field."""
    refused = rejection(line(**{field: value}))
    assert (refused.field or "").partition(".")[0] == field


@pytest.mark.parametrize(
    "moment",
    [
        "2024-05-01T12:00:00",
        "2024-05-01",
        "12:00:00Z",
        "yesterday",
        "",
        "2024-02-30T00:00:00Z",
        "2024-05-01T25:00:00Z",
        "1899-12-31T23:59:59Z",
        "2200-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "1714564800",
        1714564800,
        1714564800.5,
        0,
        None,
        True,
    ],
)
def test_an_absurd_time_is_refused(moment: Any) -> None:
    """Without offset, impossible, out of the plausible years, or a bare number."""
    assert rejection(line(occurred_at=moment)).field == "occurred_at"


def test_a_time_far_ahead_of_our_clock_is_refused_and_a_near_one_is_not() -> None:
    """A fact has happened; clocks may differ a little."""
    event(occurred_at=(NOW + timedelta(days=1)).isoformat())
    ahead = rejection(line(occurred_at=(NOW + timedelta(days=1, milliseconds=1)).isoformat()))
    assert ahead.field == "occurred_at"
    assert "ahead" in ahead.reason


def test_times_are_kept_in_utc_and_whole_milliseconds() -> None:
    """As MongoDB keeps them; the rest is cut, never rounded up."""
    read = event(occurred_at="2024-05-01T14:00:00.999999+02:00")
    assert read.occurred_at == datetime(2024, 5, 1, 12, 0, 0, 999000, UTC)
    assert read.occurred_at.utcoffset() == timedelta(0)


@pytest.mark.parametrize("where", ["event_id", "payload"])
def test_half_a_surrogate_pair_is_refused(where: str) -> None:
    """UTF-8 can't carry it, in an id, a key or a value."""
    half = '"\\ud800"'
    value = half if where == "event_id" else f'{{"a": {half}}}'
    rejection(line(**{where: "HERE"}).replace('"HERE"', value))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400"])
@pytest.mark.parametrize("around", ["%s", "[1, %s]", '{"b": {"c": [%s]}}'])
def test_a_number_beyond_a_double_is_refused(number: str, around: str) -> None:
    """At any depth; it would come back as something else."""
    text = line(payload="HERE").replace('"HERE"', f'{{"a": {around % number}}}')
    rejection(text)


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_the_words_for_such_numbers_are_texts_like_others(word: str) -> None:
    """As a value and as a key."""
    payload = {word: word}
    assert decode_payload(encode_payload(payload, max_bytes=LIMIT)) == payload


@pytest.mark.parametrize(
    "payload",
    [
        {"a": float("nan")},
        {"a": (float("inf"),)},
        {"a": [{"b": (1, [float("-inf")])}]},
        {"a": "\ud800"},
        {"\udfff": 1},
        {"a": object()},
    ],
    ids=["nan", "infinity", "nested", "surrogate", "surrogate key", "object"],
)
def test_a_payload_built_in_python_that_is_no_json_is_refused(payload: dict[str, Any]) -> None:
    """Whatever container it hides in."""
    with pytest.raises(EventRejected) as caught:
        encode_payload(payload, max_bytes=LIMIT)
    assert caught.value.field == "payload"


@pytest.mark.parametrize("depth", [500, 100_000])
def test_nesting_without_end_is_refused(depth: int) -> None:
    """No line can exhaust the stack, neither of lists nor of objects."""
    rejection(line(payload="HERE").replace('"HERE"', '{"a":' + "[" * depth + "]" * depth + "}"))
    rejection(line(payload="HERE").replace('"HERE"', '{"a":' * depth + "1" + "}" * depth))


def test_a_payload_nested_as_deep_as_is_accepted_comes_back() -> None:
    """What the door takes, the store gives."""
    payload: dict[str, Any] = {}
    for _ in range(80):
        payload = {"a": [payload]}
    read = event(payload=payload)
    assert decode_payload(encode_payload(read.payload, max_bytes=LIMIT)) == payload


def test_a_payload_over_the_limit_is_refused_with_its_size() -> None:
    """The limit itself is accepted."""
    payload = {"a": "x" * 92}
    assert len(encode_payload(payload, max_bytes=100)) == 100
    with pytest.raises(EventRejected, match=r"101 bytes.*100.*PIPELINE_MAX_PAYLOAD_BYTES"):
        encode_payload({"a": "x" * 93}, max_bytes=100)


@pytest.mark.parametrize(
    "payload",
    [
        {"org.opencontainers.image.url": 1, "a.b": {"c.d": 2}},
        {"$set": 1, "a": {"$inc": {"$": 2}}},
        {"a\0b": "c\0d", "": {"": 0}},
        {"n": 2**64, "m": -(2**200), "k": 2**53 + 1},
        {"f": 0.1, "e": 1e308, "z": -0.0, "t": 5e-324},
        {"t": True, "n": None, "e": [], "d": {}},
        {"é😀": "\u2028\x7f", "a": "\ufffe"},
    ],
)
def test_any_payload_comes_back_as_it_was(payload: dict[str, Any]) -> None:
    """Keys that MongoDB would refuse and numbers that it can't hold included."""
    read = event(payload=payload)
    back = decode_payload(encode_payload(read.payload, max_bytes=LIMIT))
    assert json.dumps(back) == json.dumps(payload)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.text("ab.$\0é"), json_values, max_size=4))
def test_payloads_survive_the_round_trip(payload: dict[str, Any]) -> None:
    """Property of the above; integers keep their digits, floats their value."""
    read = event(payload=payload)
    assert decode_payload(encode_payload(read.payload, max_bytes=LIMIT)) == payload


@given(st.tuples(ids, names, names), st.tuples(ids, names, names))
def test_keys_of_different_events_never_meet(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    """Whatever an id holds, also the signs that join keys."""
    assert (event_key(*one) == event_key(*other)) == (one == other)
    assert event_id_of(event_key(*one)) == one[0]


def made(moment: datetime, seq: int | None, event_id: str) -> Event:
    """An event of which only what orders it matters."""
    return Event(
        event_id=event_id,
        tenant="acme",
        source="crm",
        type="a",
        entity_id="b",
        seq=seq,
        occurred_at=moment,
    )


@given(st.data())
def test_order_is_time_then_sequence_then_key(data: st.DataObject) -> None:
    """Sorting by the string is sorting by the tuple, with no sequence before every sequence."""
    few = data.draw(st.lists(moments, min_size=1, max_size=3))
    facts = data.draw(
        st.lists(st.builds(made, st.sampled_from(few), sequences, ids), min_size=2, max_size=12)
    )

    def as_tuple(one: Event) -> tuple[Any, ...]:
        return one.occurred_at, -1 if one.seq is None else one.seq, one.key

    by_order = sorted(facts, key=lambda one: one.order.encode())
    assert [as_tuple(one) for one in by_order] == sorted(map(as_tuple, facts))


def test_nine_comes_before_ten_and_no_sequence_before_any() -> None:
    """The cases that sorting as plain text gets wrong."""
    noon = datetime(2024, 5, 1, 12, tzinfo=UTC)
    orders = [made(noon, seq, "x").order for seq in (None, 0, 9, 10, 99, 100, 2**63 - 1)]
    assert orders == sorted(orders)
    assert len(set(orders)) == len(orders)


def test_two_events_of_one_order_are_the_same_event() -> None:
    """The key is the last part of it, so ties are told apart."""
    noon = datetime(2024, 5, 1, 12, tzinfo=UTC)
    assert made(noon, 1, "a").order != made(noon, 1, "b").order
