"""Events of several tenants and documents with disorder injected, and what was injected."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from pipeline.event import Event
from pipeline.lateness import Finding, find
from pipeline.store import Among, Spot, Store
from tests.facts import fact

TENANTS: Final = ("acme", "beta", "gamma")
HANDLERS: Final = {"step": "steps.apply", "line": "lines.apply", "note": "notes.apply"}
MINUTE_MS: Final = 60_000

Truth = dict[tuple[str, str], tuple[str, int | None, str | None]]
"""By event key and handler: mark, lateness in milliseconds, and the event it came after."""


@dataclass
class Injection:
    """What is sent, and what a report has to say of it.

    Attributes:
        arrivals: the events in the order in which they are sent.
        truth: what is out of order.
        copies: by tenant, how many copies are sent.
    """

    arrivals: list[Event] = field(default_factory=list)
    truth: Truth = field(default_factory=dict)
    copies: Counter[str] = field(default_factory=Counter)


def injected(
    seed: int,
    *,
    kinds: tuple[str, ...] = tuple(HANDLERS),
    events: int = 300,
    lost: bool = True,
) -> Injection:
    """Some hundred events, of which a good part comes out of order.

    Args:
        seed: the same seed is the same injection.
        kinds: which kinds of events.
        events: about how many.
        lost: whether some never come at all, where they are numbered.
    """
    draw = random.Random(seed)
    injection = Injection()
    lines = [
        _document(draw, injection, kind, tenant, f"D{number}", events // 24, lost=lost)
        for kind in kinds
        for tenant in TENANTS
        for number in range(3)
    ]
    # Of documents nothing is known but their own events, so they may come in between each other.
    while lines:
        line = draw.choice(lines)
        injection.arrivals.append(line.pop(0))
        if not line:
            lines.remove(line)
    for event in draw.sample(injection.arrivals, len(injection.arrivals) // 10):
        at = injection.arrivals.index(event)
        injection.arrivals.insert(draw.randint(at + 1, len(injection.arrivals)), event)
        injection.copies[event.tenant] += 1
    return injection


def _document(
    draw: random.Random,
    injection: Injection,
    kind: str,
    tenant: str,
    entity: str,
    count: int,
    *,
    lost: bool,
) -> list[Event]:
    """The events of one document as they come."""
    numbered = kind != "note"
    arrived: list[Event] = []
    minute = number = 0
    newest: Event | None = None

    def event(minute: int, number: int) -> Event:
        seq = number if numbered else None
        name = f"{kind}-{entity}-{len(arrived)}-{minute}"
        came = fact(name, minute, tenant=tenant, entity_id=entity, type=f"{kind}.taken", seq=seq)
        arrived.append(came)
        return came

    def tell(of: Event, mark: str, late_ms: int | None, seen: Event | None) -> None:
        truth = (mark, late_ms, seen.key if seen else None)
        injection.truth[of.key, HANDLERS[kind]] = truth

    while len(arrived) < count:
        match draw.choice(["in order"] * 4 + ["late", "tie" if not numbered else "gap"]):
            case "late":
                behind = draw.randint(1, 3)
                after, late = event(minute + behind, number + 1), event(minute, number)
                if numbered:
                    tell(after, "gap", None, newest)
                tell(late, "late", behind * MINUTE_MS, after)
                newest = after
                minute, number = minute + behind, number + 1
            case "tie" if newest is not None:
                minute -= 1
                tied = event(minute, number)
                tell(tied, "tie", 0, newest)
                newest = max(newest, tied, key=lambda one: one.order)
            case "gap" if lost:
                number += draw.randint(1, 3)
                found = event(minute, number)
                tell(found, "gap", None, newest)
                newest = found
            case _:
                newest = event(minute, number)
        minute, number = minute + 1, number + 1
    return arrived


def reported(store: Store, among: Among | None = None, *, page: int = 7) -> Iterator[Finding]:
    """All that the report says, page by page."""
    after: Spot | None = None
    while True:
        found = find(store, among or Among(), limit=page, after=after)
        yield from found.findings
        after = found.after
        if after is None:
            return


def as_truth(found: Iterator[Finding]) -> dict[tuple[str, str], Any]:
    """The report in the form of the injection; nothing is reported twice."""
    told: dict[tuple[str, str], Any] = {}
    for one in found:
        name = (one.row.event, one.row.handler)
        assert name not in told
        told[name] = (one.disorder.mark.value, one.disorder.late_ms, one.disorder.seen)
    return told
