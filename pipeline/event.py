"""The event envelope: a fact that happened in an external system.

An event is known by its *key*, `event_id@tenant/source`: two sources may number their
events alike without meeting. Events of one document are applied by their *order*: event
time, then the source's sequence, then the key. Both are strings that sort bytewise, so
Python and MongoDB agree on them without a conversion.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, Final, Self

import pydantic_core
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from pipeline.clock import from_milliseconds, to_milliseconds
from pipeline.errors import EventRejected

EARLIEST: Final = datetime(1900, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)
MAX_SEQ: Final = 2**63 - 1
MAX_PAYLOAD_BYTES: Final = 15 * 1024 * 1024
"""What fits into a MongoDB document of 16 MiB, with room for the rest of it."""
_ISO_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]")


def _plausible(moment: datetime) -> datetime:
    if not EARLIEST <= moment < LATEST:
        raise ValueError(
            f"{moment.isoformat()} is not a plausible time of an event; "
            f"the years 1900 to 2199 are accepted"
        )
    return to_milliseconds(moment)


def _iso(value: object) -> object:
    """Text must be a date: pydantic would take a bare number for seconds since 1970."""
    if isinstance(value, datetime) or (isinstance(value, str) and _ISO_DATE.match(value)):
        return value
    raise ValueError("must be a time such as 2024-05-01T10:00:00Z")


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("control characters, line breaks and NUL are not allowed in an id")
    return text


# No colon, slash or @: these join names to keys, and no tenant may spell another's key.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Identifier = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]
Kind = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/-]{0,127}$")]
EventTime = Annotated[AwareDatetime, BeforeValidator(_iso), AfterValidator(_plausible)]


class _once:  # noqa: N801 - reads as a word, like property
    """A value computed at the first look and kept on the object; cached_property locks."""

    def __init__(self, compute: Callable[[Any], str]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, _owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, _owner: type | None = None) -> str:
        value = instance.__dict__[self._name] = self._compute(instance)
        return value


class Event(BaseModel):
    """One fact, immutable, as its source tells it.

    Attributes:
        event_id: the source's id of the fact; the same id is the same fact for ever.
        tenant: whose fact it is.
        source: which external system tells it.
        type: what happened, in the past tense, such as `booking.created`.
        entity_id: what it happened to.
        seq: the source's own order within the entity, where it has one.
        occurred_at: when it happened, in UTC and whole milliseconds.
        payload: the rest, any JSON object.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ignored_types=(_once,))

    event_id: Identifier
    tenant: Name
    source: Name
    type: Kind
    entity_id: Identifier
    seq: Annotated[int, Field(ge=0, le=MAX_SEQ, strict=True)] | None = None
    occurred_at: EventTime
    payload: dict[str, Any] = Field(default_factory=dict)

    @_once
    def key(self) -> str:
        """The event's identity across tenants and sources."""
        return event_key(self.event_id, self.tenant, self.source)

    @_once
    def order(self) -> str:
        """Where the event stands among the events of one document; sorts bytewise."""
        return order_of(self.occurred_at, self.seq, self.key)

    def envelope(self) -> dict[str, Any]:
        """All but the payload, as `StoredEvent.of` takes it."""
        fields = self.__dict__.copy()
        for name in _PAYLOAD:
            fields.pop(name, None)
        return fields


class StoredEvent(Event):
    """An event as it comes back from the store: trusted, and its payload read when asked for."""

    @classmethod
    def of(cls, envelope: dict[str, Any], read_payload: Callable[[str], dict[str, Any]]) -> Self:
        """The event with this envelope and key, which is used up.

        `read_payload` is called at most once.
        """
        event = cls.__new__(cls)
        envelope["_read_payload"] = read_payload
        _set_envelope(event, envelope)
        _set_given(event, _FIELDS)
        _set_extra(event, None)
        _set_private(event, None)
        return event

    def __getattr__(self, name: str) -> Any:
        if name != "payload":
            raise AttributeError(name)
        payload = self.__dict__["payload"] = self.__dict__["_read_payload"](self.key)
        return payload


# The descriptors of the slots: the only way past a frozen model's own refusal.
_set_envelope: Final = BaseModel.__dict__["__dict__"].__set__
_set_given: Final = BaseModel.__dict__["__pydantic_fields_set__"].__set__
_set_extra: Final = BaseModel.__dict__["__pydantic_extra__"].__set__
_set_private: Final = BaseModel.__dict__["__pydantic_private__"].__set__

_FIELDS: Final = frozenset(Event.model_fields)
_PAYLOAD: Final = ("payload", "_read_payload")


def event_key(event_id: str, tenant: str, source: str) -> str:
    """`event_id@tenant/source`; injective, since tenant and source hold neither `@` nor `/`."""
    return f"{event_id}@{tenant}/{source}"


def event_id_of(key: str) -> str:
    """The source's own id within an event key."""
    return key.rpartition("@")[0]


def tenant_of(key: str) -> str:
    """The tenant within an event key."""
    return key.rpartition("@")[2].partition("/")[0]


def source_of(key: str) -> str:
    """The source within an event key."""
    return key.rpartition("@")[2].partition("/")[2]


def key_of_order(order: str) -> str:
    """The key of the event that has this order."""
    return order.split("~", 2)[2]


def number_of_order(order: str) -> int | None:
    """The sequence of the event that has this order, or None where it has none."""
    digits = order.split("~", 2)[1][1:]
    return int(digits) if digits else None


def order_of(occurred_at: datetime, seq: int | None, key: str) -> str:
    """A string that sorts by event time, then sequence (none first), then key.

    The sequence is written with a letter for its number of digits before it, so that 9
    sorts before 10: `a9`, `b10`.
    """
    moment = occurred_at
    # As isoformat has it, in a fifth of its time: every event needs this once.
    return (
        f"{_day(moment.date())}T{_TWO[moment.hour]}:{_TWO[moment.minute]}:{_TWO[moment.second]}"
        f".{_THREE[moment.microsecond // 1000]}~{_numbered(seq)}~{key}"
    )


_TWO: Final = tuple(f"{number:02}" for number in range(60))
_THREE: Final = tuple(f"{number:03}" for number in range(1000))
_day: Final = lru_cache(maxsize=8192)(date.isoformat)


@lru_cache(maxsize=8192)
def _numbered(seq: int | None) -> str:
    if seq is None:
        return "-"
    digits = str(seq)
    return f"{chr(96 + len(digits))}{digits}"


def moment_of(order: str) -> datetime:
    """The event time within an order."""
    return datetime.fromisoformat(order.partition("~")[0]).replace(tzinfo=UTC)


def first_from(moment: datetime) -> datetime:
    """The first time that an event can have at this moment or later; at most `LATEST`."""
    return from_milliseconds(min(max(moment, EARLIEST), LATEST))


def orders_from(moment: datetime) -> str:
    """Where the orders begin of events that happened at this moment or later."""
    return first_from(moment).replace(tzinfo=None).isoformat(timespec="milliseconds")


def encode_payload(payload: dict[str, Any], *, max_bytes: int = MAX_PAYLOAD_BYTES) -> bytes:
    """The payload as JSON text; keys with dots, `$` or NUL and integers of any size survive.

    Raises:
        EventRejected: larger than `max_bytes`, not JSON, or a number beyond a double's range.
    """
    try:
        body = pydantic_core.to_json(payload, inf_nan_mode="constants")
    except (ValueError, pydantic_core.PydanticSerializationError) as error:
        raise EventRejected(f"can't be written as JSON: {error}", field="payload") from None
    if len(body) > max_bytes:
        raise EventRejected(
            f"is {len(body):,} bytes long; up to {max_bytes:,} are accepted "
            f"(PIPELINE_MAX_PAYLOAD_BYTES)",
            field="payload",
        )
    if (b"Infinity" in body or b"NaN" in body) and not _all_finite(payload):
        raise EventRejected(
            "holds NaN or a number beyond the range of a 64-bit float", field="payload"
        )
    return body


def _all_finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_all_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_all_finite, value))
    return True


def decode_payload(body: bytes) -> dict[str, Any]:
    """The payload that `encode_payload` wrote."""
    payload: dict[str, Any] = pydantic_core.from_json(body)
    return payload


def parse_event(line: str | bytes, *, now: datetime, max_skew: timedelta) -> Event:
    """One event from one JSON object.

    Args:
        line: the JSON text, UTF-8.
        now: our wall time; an event is a fact that happened, so it can't lie far ahead.
        max_skew: how far the source's clock may run before ours.

    Raises:
        EventRejected: with the field at fault and a sentence that says what is wrong.
    """
    try:
        event = Event.model_validate_json(line)
    except ValidationError as error:
        raise _rejection(error) from None
    return check_time(event, now=now, max_skew=max_skew)


def check_time(event: Event, *, now: datetime, max_skew: timedelta) -> Event:
    """The event itself, unless it lies further in the future than clocks may differ.

    Raises:
        EventRejected: the event says it happened later than now plus `max_skew`.
    """
    if event.occurred_at > now + max_skew:
        ahead = event.occurred_at - now
        raise EventRejected(
            f"{event.occurred_at.isoformat()} lies {ahead} ahead of this machine's clock; "
            f"up to {max_skew} is accepted (PIPELINE_MAX_CLOCK_SKEW)",
            field="occurred_at",
        )
    return event


def _rejection(error: ValidationError) -> EventRejected:
    first, *others = error.errors(include_url=False, include_context=False)
    field = ".".join(str(part) for part in first["loc"]) or None
    reason = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        reason = "is not a field of the envelope; put what the source says into payload"
    if others:
        reason += f" (and {len(others)} more)"
    return EventRejected(reason, field=field)
