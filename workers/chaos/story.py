"""The events of a chaos run and the way they arrive: both follow from the seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from pipeline import Event

TENANTS: Final = ("north", "south", "west")
STATUSES: Final = ("new", "open", "busy", "held", "closed")
OWNERS: Final = 40
START: Final = datetime(2024, 1, 1, tzinfo=UTC)
STEP: Final = timedelta(seconds=7)
TIES: Final = 0.2
"""Events that share their moment with the one before, so that the sequence decides."""
HOT_SHARE: Final = 0.05
"""Events that go to one of a few hot accounts."""
HOT_ACCOUNTS: Final = 3
EVENTS_AN_ACCOUNT: Final = 8
FULL_CALL: Final = 500
LARGE_CALL: Final = 1_200
"""Events of a call that takes several transactions, of which a fault may hit the second."""
FARTHEST: Final = 2_000
"""Most events that go before a late one; a refold of a hot account takes them all again."""


def story(seed: int, count: int) -> list[Event]:
    """What happened, in order: some accounts are hot, some events fall on one moment."""
    draw = random.Random(f"story {seed}")
    accounts = max(1, count // EVENTS_AN_ACCOUNT)
    return [_event(draw, number, accounts) for number in range(count)]


def _event(draw: random.Random, number: int, accounts: int) -> Event:
    hot = draw.random() < HOT_SHARE
    entity = f"hot-{draw.randrange(HOT_ACCOUNTS)}" if hot else f"a{draw.randrange(accounts)}"
    kind = draw.choices(("changed", "moved", "doubled", "page"), (4, 4, 1, 1))[0]
    payload: dict[str, object] = {}
    if kind == "changed":
        payload = {"status": draw.choice(STATUSES), "owner": f"o{draw.randrange(OWNERS)}"}
    elif kind == "moved":
        payload = {"amount": draw.randint(-1000, 1000)}
    return Event(
        event_id=f"e{number}",
        tenant=draw.choices(TENANTS, (6, 3, 1))[0],
        source="chaos",
        type="page.viewed" if kind == "page" else f"account.{kind}",
        entity_id=entity,
        seq=number,
        occurred_at=START + STEP * (number - (draw.random() < TIES)),
        payload=payload,
    )


def delivery(
    seed: int, events: Sequence[Event], *, late: float, duplicates: float
) -> Iterator[list[Event]]:
    """The calls in which the events are sent.

    Args:
        seed: of the run.
        events: in order.
        late: share of events that are held back, by up to 2,000 events or a fifth of all.
        duplicates: share of events that are sent a second time, some time later.
    """
    draw = random.Random(f"delivery {seed}")
    farthest = max(1, min(FARTHEST, len(events) // 5))
    arrivals: list[tuple[float, int, Event]] = []
    for number, event in enumerate(events):
        held = draw.randint(1, farthest) if draw.random() < late else 0
        arrivals.append((number + held, number, event))
        if draw.random() < duplicates:
            arrivals.append((number + held + draw.randint(0, farthest), number, event))
    arrivals.sort(key=lambda arrival: arrival[:2])
    at = 0
    while at < len(arrivals):
        size = draw.choice((1, 7, 50, FULL_CALL, LARGE_CALL))
        yield [event for _, _, event in arrivals[at : at + size]]
        at += size
