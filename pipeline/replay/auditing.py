"""Checking a live run's ledger: one row for each event and handler, and no other."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from pipeline.declarations import Effect, Handler
from pipeline.event import Event
from pipeline.registry import Registry

KEPT: Final = 20
"""Rows of each kind that are kept to be shown."""
# The words of the store's LedgerState, which is beyond our reach; a test holds them together.
WITH_EFFECT: Final = frozenset({"done", "skipped"})
"""The handler was run, whether or not there was anything to do."""
GIVEN_UP: Final = frozenset({"dead", "cancelled"})
"""The handler was not run to its end, and will not be unless a person says so."""
VOIDED: Final = "voided"
"""A person took the event back."""
WAITING: Final = "waiting"
"""As if there were no row: what the handler follows has no effect."""
OUT: Final = frozenset({"done", "sending"})
"""Of effects: it is done outside, or may be, and nothing takes it back."""


class Finding(NamedTuple):
    """An event and a handler whose row is not as it should be.

    Attributes:
        event: event key.
        handler: the handler's name.
        state: of the row; None where there is none.
    """

    event: str
    handler: str
    state: str | None

    def __str__(self) -> str:
        return f"{self.event} in {self.handler}: {self.state or 'no row'}"


@dataclass(slots=True)
class Findings:
    """Findings of one kind: all counted, the first ones kept."""

    count: int = 0
    first: list[Finding] = field(default_factory=list)

    def add(self, event: str, handler: str, state: str | None) -> None:
        """Count one more."""
        self.count += 1
        if len(self.first) < KEPT:
            self.first.append(Finding(event, handler, state))


@dataclass(slots=True)
class Audit:
    """What was found in a ledger.

    Attributes:
        events: events there are, each once.
        asked: rows there should be.
        rows: rows there are.
        lost: asked for, and there is no row.
        doubled: second and further rows of an event and a handler.
        unexpected: rows that nobody asked for: of an event that is unknown, a handler that the
            event does not go to, or one below a handler that failed; and rows that tell of an
            effect where there can be none, since the handler fails.
        unfinished: asked for, and the row tells that there was no effect, or not yet.
    """

    events: int = 0
    asked: int = 0
    rows: int = 0
    lost: Findings = field(default_factory=Findings)
    doubled: Findings = field(default_factory=Findings)
    unexpected: Findings = field(default_factory=Findings)
    unfinished: Findings = field(default_factory=Findings)

    @property
    def clean(self) -> bool:
        """Whether every row is there once and none too many."""
        return not any(found.count for found in self._kinds().values())

    def _kinds(self) -> dict[str, Findings]:
        return {
            "lost": self.lost,
            "doubled": self.doubled,
            "unexpected": self.unexpected,
            "unfinished": self.unfinished,
        }

    def __str__(self) -> str:
        """One line of counts, and the first findings below it."""
        kinds = self._kinds()
        counts = ", ".join(f"{found.count:,} {name}" for name, found in kinds.items())
        lines = [f"{self.rows:,} of {self.asked:,} rows for {self.events:,} events; {counts}"]
        lines += [f"  {name}: {one}" for name, found in kinds.items() for one in found.first]
        return "\n".join(lines)


def audit(
    registry: Registry,
    events: Iterable[Event],
    rows: Iterable[Sequence[Any]],
    failures: Iterable[Sequence[Any]] = (),
    voided: Collection[str] = (),
) -> Audit:
    """Check that the ledger holds exactly one final row for each event and handler.

    Args:
        registry: says which handlers an event goes to.
        events: all that were accepted; of several with one key the first counts.
        rows: of the ledger, in any order; each begins with event key, handler and state, as
            `LedgerRow` does. They are looked at one by one and not kept.
        failures: of the sequential run; each begins with event key and handler. There the row
            has to tell of a failure that was given up, and handlers below have no row.
        voided: keys of those of the events that a person took back, and that the sequential
            run has not seen. Their rows have to say so, but for effects that are out and what
            was given up before.
    """
    asking = _Asking(registry, frozenset(voided))
    found = Audit()
    for event in events:
        asking.event(event)
    for event_key, handler, *_ in failures:
        asking.failure(event_key, handler)
    for event_key, handler, state, *_ in rows:
        if state == WAITING:
            continue
        found.rows += 1
        asking.check(event_key, handler, str(state), found)
    asking.finish(found)
    return found


class _Asking:
    """Which rows should be there, as one bit for each handler in a number for each event."""

    def __init__(self, registry: Registry, voided: AbstractSet[str]) -> None:
        self._registry = registry
        self._voided = voided
        self._outside = sum(
            1 << at for at, handler in enumerate(registry) if isinstance(handler, Effect)
        )
        self._bits = {handler.name: 1 << at for at, handler in enumerate(registry)}
        self._of_type: dict[str, int] = {}
        self._asked: dict[str, int] = {}
        self._failing: dict[str, int] = {}
        self._seen: dict[str, int] = {}

    def event(self, event: Event) -> None:
        mask = self._of_type.get(event.type)
        if mask is None:
            actions = self._registry.actions_for(event.type)
            mask = sum(self._bits[a.name] | self._below(a) for a in actions)
            self._of_type[event.type] = mask
        self._asked.setdefault(event.key, mask)

    def failure(self, event: str, handler: str) -> None:
        self._asked[event] &= ~self._below(self._registry.handler(handler))
        self._failing[event] = self._failing.get(event, 0) | self._bits[handler]

    def check(self, event: str, handler: str, state: str, found: Audit) -> None:
        bit = self._bits.get(handler, 0)
        if not self._asked.get(event, 0) & bit:
            found.unexpected.add(event, handler, state)
            return
        seen = self._seen.get(event, 0)
        if seen & bit:
            found.doubled.add(event, handler, state)
            return
        self._seen[event] = seen | bit
        if event in self._voided:
            if state not in (VOIDED, "cancelled") and not (bit & self._outside and state in OUT):
                found.unexpected.add(event, handler, state)
            return
        fails = self._failing.get(event, 0) & bit
        if state in (GIVEN_UP if fails else WITH_EFFECT):
            return
        wrong = found.unexpected if fails and state in WITH_EFFECT else found.unfinished
        wrong.add(event, handler, state)

    def finish(self, found: Audit) -> None:
        found.events = len(self._asked)
        for event, asked in self._asked.items():
            found.asked += asked.bit_count()
            lost = asked & ~self._seen.get(event, 0)
            if lost:
                for handler, bit in self._bits.items():
                    if lost & bit:
                        found.lost.add(event, handler, None)

    def _below(self, handler: Handler) -> int:
        """The bits of all handlers below this one."""
        below = (*self._registry.observers_below(handler), *self._registry.effects_of(handler))
        return sum(self._bits[one.name] for one in below)
