"""What a decision about many would do, before anybody does it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Final, NamedTuple

from pipeline.auditing import timed_id
from pipeline.clock import Clock
from pipeline.dead_letters import REASON_CHARACTERS, Letter, Where, find, tally
from pipeline.errors import PipelineError
from pipeline.registry import Registry
from pipeline.store import Operation, Phase, Store, Tally

VERBS: Final = ("requeue", "discard")
SAMPLES: Final = 5
CONFIRMED_FROM: Final = 100
"""Letters beyond which a person types the number to confirm."""
MOST_RATE: Final = 1_000
"""Letters a second."""
PLAN_KEPT: Final = timedelta(days=1)
"""How long a plan that nobody starts is kept."""
MOST_KINDS: Final = 200
"""Kinds of letters, by handler and error, that a plan tells apart; the largest."""


class Plan(NamedTuple):
    """An operation as it is planned.

    Attributes:
        operation: as it is kept.
        samples: some of the letters, those that died first.
    """

    operation: Operation
    samples: list[Letter]

    @property
    def tallies(self) -> list[Tally]:
        """What matched when it was planned, by handler and error; up to 200 of them."""
        return [Tally(**one) for one in self.operation.found]

    @property
    def cut(self) -> bool:
        """Whether there may have been more than those."""
        return len(self.operation.found) == MOST_KINDS

    @property
    def untouched(self) -> dict[str, int]:
        """Of those that matched, how many it leaves as they are, by reason."""
        return self.operation.untouched

    @property
    def seconds(self) -> float:
        """How long it takes at its rate, at least."""
        return self.operation.meant / self.operation.rate


class Planner:
    """Makes plans.

    Args:
        store: where the letters are.
        registry: the handlers.
        clock: wall time.
    """

    def __init__(self, store: Store, registry: Registry, clock: Clock) -> None:
        self._store = store
        self._handlers = {handler.name for handler in registry}
        self._clock = clock

    def plan(
        self,
        verb: str,
        where: Where,
        *,
        by: str,
        reason: str = "",
        rate: int = 50,
        limit: int | None = None,
    ) -> Plan:
        """Count what a filter means, and keep the plan.

        Args:
            verb: `requeue` or `discard`.
            where: which letters.
            by: who plans it.
            reason: why; a discard needs one.
            rate: letters a second, 1 to 1,000.
            limit: most letters, those that died first; None for all.

        Raises:
            PipelineError: there is no such verb, a discard has no reason, or a number is out
                of its range.
        """
        _check(verb, reason, rate, limit)
        now = self._clock.now()
        where = where.as_of(now)
        tallies = tally(self._store, where)
        matching = sum(found.events for found in tallies)
        operation = Operation(
            timed_id(now),
            verb,
            asdict(where),
            by,
            reason.strip(),
            now,
            matching if limit is None else min(matching, limit),
            rate,
            limit=limit,
            found=[found._asdict() for found in _largest(tallies)],
            untouched=self._untouched(verb, tallies),
        )
        self._store.records.operations.forget_plans(now - PLAN_KEPT)
        self._store.records.operations.add(operation)
        return self.of(operation)

    def of(self, operation: Operation) -> Plan:
        """The plan of an operation as it was counted, with samples of what is dead now.

        Counting takes longer than a page may, where there are a hundred thousand.
        """
        where = where_of(operation)
        page = find(self._store, where, limit=SAMPLES, newest_first=False)
        return Plan(operation, page.letters)

    def _untouched(self, verb: str, tallies: Sequence[Tally]) -> dict[str, int]:
        unknown = sum(found.events for found in tallies if found.handler not in self._handlers)
        if verb == "requeue" and unknown:
            return {"no loaded module declares their handler": unknown}
        return {}


def _largest(tallies: Sequence[Tally]) -> list[Tally]:
    """The 200 of most letters, in the order that they had."""
    most = set(sorted(tallies, key=lambda found: -found.events)[:MOST_KINDS])
    return [found for found in tallies if found in most]


def where_of(operation: Operation) -> Where:
    """The filter of an operation."""
    return Where(**operation.where)


def plan_json(plan: Plan) -> dict[str, Any]:
    """The plan for programs."""
    return {
        "operation": operation_json(plan.operation),
        "plan": [found._asdict() for found in plan.tallies],
        "samples": [letter.event for letter in plan.samples],
        "untouched": plan.untouched,
        "seconds": plan.seconds,
        "confirm": str(plan.operation.meant) if plan.operation.meant > CONFIRMED_FROM else None,
    }


def operation_json(operation: Operation) -> dict[str, Any]:
    """The operation for programs."""
    told = operation._asdict()
    for ours in ("after", "found"):
        told.pop(ours)
    return {**told, "phase": Phase(operation.phase).value}


def _check(verb: str, reason: str, rate: int, limit: int | None) -> None:
    if verb not in VERBS:
        raise PipelineError(f"{verb!r} is no decision about dead letters; use {' or '.join(VERBS)}")
    if verb == "discard" and not reason.strip():
        raise PipelineError("a discard needs a reason: one sentence, kept with the events")
    if len(reason) > REASON_CHARACTERS:
        raise PipelineError(f"a reason takes up to {REASON_CHARACTERS:,} characters")
    if not 1 <= rate <= MOST_RATE:
        raise PipelineError(f"a rate takes 1 to {MOST_RATE:,} letters a second")
    if limit is not None and limit < 1:
        raise PipelineError("a limit takes 1 or more letters")
