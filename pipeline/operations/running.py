"""Running an operation: a bounded number of letters a second, until it is done or stopped."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from pipeline.clock import Clock
from pipeline.dead_letters import Decided, Decisions, Place
from pipeline.errors import NotFound, PipelineError
from pipeline.operations.planning import CONFIRMED_FROM, where_of
from pipeline.store import LedgerState, Operation, Phase, Store

CHUNK: Final = 100
"""Most letters of one step; between two steps it can be stopped."""
LOST_SECONDS: Final = 60.0
"""Without a sign of life for so long an operation counts as cut off."""

log = structlog.get_logger(__name__)


class Runner:
    """Starts operations and runs them to their end.

    Args:
        store: where they and the letters are.
        decisions: makes the decisions true.
        clock: wall time, and time to measure.
        pause: waits for so many seconds; True where the process is to end.
    """

    def __init__(
        self, store: Store, decisions: Decisions, clock: Clock, pause: Callable[[float], bool]
    ) -> None:
        self._store = store
        self._decisions = decisions
        self._clock = clock
        self._pause = pause

    def start(self, operation: str, *, by: str, confirm: str = "") -> Operation:
        """Take an operation that is planned, or was cut off, to be run.

        Args:
            operation: its id.
            by: who starts it.
            confirm: the number of letters, where it is for more than 100.

        Raises:
            NotFound: there is no such operation.
            PipelineError: the number is wrong, or it runs or has ended already.
        """
        found = self._store.records.operations.get(operation)
        if found is None:
            raise NotFound(f"no operation {operation!r} is stored")
        if found.meant > CONFIRMED_FROM and confirm.strip() != str(found.meant):
            raise PipelineError(
                f"it is for {found.meant:,} letters; type {found.meant} to confirm that"
            )
        now = self._clock.now()
        lost = now - timedelta(seconds=LOST_SECONDS)
        started = self._store.records.operations.start(operation, by, now, lost)
        if started is None:
            raise PipelineError(f"operation {operation} runs or has ended already")
        return started

    def run(self, operation: Operation) -> Phase:
        """Run a started operation until it is done, stopped, or can't go on.

        What MongoDB or Redis raise ends it as failed; it may be started again, and goes on
        where it was.
        """
        try:
            phase = self._through(operation)
        except Exception as error:  # noqa: BLE001 - whatever it was, the person must see it
            log.warning("operation_failed", operation=operation.id, error=str(error)[:300])
            self._end(operation, Phase.FAILED, f"{type(error).__name__}: {error}"[:500])
            return Phase.FAILED
        log.info("operation_ended", operation=operation.id, phase=phase.value)
        return phase

    def _through(self, operation: Operation) -> Phase:
        where, after = where_of(operation), _place(operation)
        total, began = Decided(**operation.tally), self._clock.monotonic()
        this_time = 0
        while (size := _size(operation, total)) > 0:
            places = self._store.records.trouble.places(
                (LedgerState.DEAD,), where, limit=size, after=after
            )
            if not places:
                break
            total = total.plus(self._decide(operation, [place.id for place in places]))
            this_time, after = this_time + len(places), places[-1]
            if not self._store.records.operations.go_on(
                operation, total._asdict(), _stored(after), self._clock.now()
            ):
                return Phase.CANCELLED
            due = began + this_time / operation.rate - self._clock.monotonic()
            if self._pause(max(0.0, due)):
                return self._end(operation, Phase.FAILED, "the process that ran it was ended")
        return self._end(operation, Phase.DONE)

    def _decide(self, operation: Operation, letters: list[str]) -> Decided:
        if operation.verb == "requeue":
            return self._decisions.requeue(letters)
        return self._decisions.discard(letters, operation.reason)

    def _end(self, operation: Operation, phase: Phase, error: str | None = None) -> Phase:
        ended = self._store.records.operations.end(operation, phase, self._clock.now(), error)
        return phase if ended else Phase.CANCELLED


def cut_off(operation: Operation, now: datetime) -> bool:
    """Whether the process that ran it is gone."""
    if operation.phase is not Phase.RUNNING or operation.beat_at is None:
        return False
    return now - operation.beat_at > timedelta(seconds=LOST_SECONDS)


def _size(operation: Operation, total: Decided) -> int:
    size = min(CHUNK, max(1, operation.rate))
    return size if operation.limit is None else min(size, operation.limit - total.letters)


def _stored(place: Place) -> dict[str, object]:
    return {"state": place.state.value, "write_at": place.write_at, "id": place.id}


def _place(operation: Operation) -> Place | None:
    after = operation.after
    return (
        None
        if after is None
        else Place(LedgerState(after["state"]), after["write_at"], after["id"])
    )
