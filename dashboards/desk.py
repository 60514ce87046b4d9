"""What visitors do, each thing noted before it is done; pages and the JSON interface share it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Final

from dashboards.access.people import Visit, Visitor
from pipeline.auditing import Auditor
from pipeline.dead_letters import (
    Decided,
    Decisions,
    Said,
    Stance,
    Triage,
    Where,
    named_group,
)
from pipeline.errors import NotFound, PipelineError
from pipeline.metrics.catalogue import OPERATOR_ACTIONS
from pipeline.operations import Plan, Planner, Runner
from pipeline.slots import Part
from pipeline.store import Operation
from pipeline.undo import Redone, Undoing, Undone
from workers.bootstrap import Application, process_name

MOST_LETTERS: Final = 500
"""Letters that are decided about at once; more are for an operation."""
AT_ONCE: Final = 2
"""Operations that one process runs at the same time; others wait for their turn."""


class Desk:
    """Does what visitors ask for.

    Args:
        app: the pipeline.
    """

    def __init__(self, app: Application) -> None:
        parts = app.store, app.registry, app.queue, app.clock, app.settings, app.counts
        self._app = app
        self._auditor = Auditor(app.store, app.clock)
        self._decisions = Decisions(*parts)
        self._undoing = Undoing(*parts)
        self._triage = Triage(app.store, app.clock, app.counts)
        self._planner = Planner(app.store, app.registry, app.clock)
        self._ending = threading.Event()
        self._runner = Runner(app.store, self._decisions, app.clock, self._ending.wait)
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="operation")

    def requeue(self, visitor: Visitor, letters: list[str]) -> Decided:
        """Put dead letters back to work.

        Raises:
            PipelineError: there are none, or too many.
        """
        about = _about(letters)
        with self._auditor.noting(
            visitor.person, "requeue", about, event=_event_of(letters)
        ) as outcome:
            decided = self._decisions.requeue(letters)
            outcome.tell(in_words(decided, "requeued"))
        return decided

    @contextmanager
    def requeueing(self, visit: Visit, job: str) -> Iterator[None]:
        """Note that a visitor puts a failed job back to work, with rq-dashboard's button.

        Raises:
            PipelineError: nobody known asks for it.
        """
        if visit.visitor is None:
            raise PipelineError("log in first")
        with self._auditor.noting(visit.visitor.person, "requeue", {"job": job}):
            yield
            self._app.counts.add(OPERATOR_ACTIONS, ("requeue",))

    def discard(self, visitor: Visitor, letters: list[str], reason: str) -> Decided:
        """Give dead letters up for good.

        Raises:
            PipelineError: there are none, too many, or there is no reason.
        """
        about = _about(letters)
        if not reason.strip():
            raise PipelineError("a discard needs a reason: one sentence, kept with the event")
        with self._auditor.noting(
            visitor.person, "discard", about, reason=reason, event=_event_of(letters)
        ) as outcome:
            try:
                decided = self._decisions.discard(letters, reason)
            except ValueError as error:
                raise PipelineError(str(error)) from None
            outcome.tell(in_words(decided, "discarded"))
        return decided

    def say(self, visitor: Visitor, where: Where, said: Said, note: str) -> Stance:
        """Say of a group of dead letters that somebody looks at it, or that nobody needs to.

        Raises:
            NotFound: there is no such group.
            PipelineError: it is not named whole, or the note is too long.
        """
        action = "acknowledge" if said is Said.ACKNOWLEDGED else "ignore"
        with self._auditor.noting(
            visitor.person, action, _group(where), reason=note.strip()
        ) as outcome:
            stance = self._triage.say(where, said, by=visitor.name, note=note)
            outcome.tell(said.words)
        return stance

    def reopen(self, visitor: Visitor, where: Where) -> bool:
        """Take back what was said about a group of dead letters.

        Raises:
            PipelineError: it is not named whole.
        """
        with self._auditor.noting(visitor.person, "reopen", _group(where)) as outcome:
            reopened = self._triage.reopen(where, by=visitor.name)
            outcome.tell("new again" if reopened else "nothing was said about it")
        return reopened

    def plan(
        self,
        visitor: Visitor,
        verb: str,
        where: Where,
        *,
        reason: str = "",
        rate: int = 50,
        limit: int | None = None,
    ) -> Plan:
        """Plan an operation; it changes no letter, and is noted when it is started.

        Raises:
            PipelineError: what is asked for can't be planned.
        """
        return self._planner.plan(
            verb, where, by=visitor.name, reason=reason, rate=rate, limit=limit
        )

    def planned(self, operation: Operation) -> Plan:
        """What an operation that was not started would do now."""
        return self._planner.of(operation)

    def start(self, visitor: Visitor, operation: str, confirm: str) -> Operation:
        """Start an operation, which then runs on its own.

        Raises:
            NotFound: there is none of this id.
            PipelineError: it is not confirmed, or runs or has ended already.
        """
        found = self.operation(operation)
        with self._auditor.noting(
            visitor.person,
            f"start {found.verb}",
            {name: value for name, value in asdict(_where(found)).items() if value is not None}
            | {"letters": found.meant, "rate": found.rate},
            reason=found.reason,
            operation=operation,
        ) as outcome:
            started = self._runner.start(operation, by=visitor.name, confirm=confirm)
            outcome.tell("started")
        self._threads.submit(self._runner.run, started)
        return started

    def cancel(self, visitor: Visitor, operation: str) -> None:
        """Stop an operation after the step it is at, or drop a plan.

        Raises:
            NotFound: there is none of this id.
            PipelineError: it has ended already.
        """
        self.operation(operation)
        with self._auditor.noting(
            visitor.person, "cancel", {"operation": operation}, operation=operation
        ):
            if not self._app.store.records.operations.cancel(operation, self._app.clock.now()):
                raise PipelineError(f"operation {operation} has ended already")

    def verify(self, visitor: Visitor, part: Part | None, *, repairs: bool) -> str:
        """Begin a verification, which the workers do when nothing else waits; its name.

        Args:
            visitor: who.
            part: of all entities; None for everything.
            repairs: whether what is wrong is put right.
        """
        about = {"part": "all" if part is None else str(part), "repairs": repairs}
        with self._auditor.noting(visitor.person, "verify", about) as outcome:
            verifier = self._app.verifier(process_name("console"))
            name, batches = verifier.begin(part, repairs=repairs)
            self._app.queue.enqueue(batches)
            outcome.tell(f"begun as {name}")
        return name

    def operation(self, operation: str) -> Operation:
        """The operation of this id.

        Raises:
            NotFound: there is none.
        """
        found = self._app.store.records.operations.get(operation)
        if found is None:
            raise NotFound(f"no operation {operation!r} is stored")
        return found

    def rehearse_undo(self, key: str) -> Undone:
        """What an undo of this event would change; nothing is.

        Raises:
            PipelineError: as `Undoing.rehearse`.
        """
        return self._undoing.rehearse(key)

    def undo(self, visitor: Visitor, key: str, reason: str) -> Undone:
        """Take an event back.

        Raises:
            PipelineError: there is no reason, or as `Undoing.undo`.
        """
        if not reason.strip():
            raise PipelineError("an undo needs a reason: one sentence, kept with the event")
        with self._auditor.noting(
            visitor.person, "undo", {"event": key}, reason=reason, event=key
        ) as outcome:
            undone = self._undoing.undo(key, by=visitor.name, reason=reason)
            outcome.tell("undone" if undone.done else "was undone before")
        return undone

    def redo(self, visitor: Visitor, key: str) -> Redone:
        """Bring an event back that was undone.

        Raises:
            PipelineError: as `Undoing.redo`.
        """
        with self._auditor.noting(visitor.person, "redo", {"event": key}, event=key) as outcome:
            redone = self._undoing.redo(key)
            outcome.tell("comes again" if redone.done else "was not undone")
        return redone

    def close(self) -> None:
        """End what runs; it can be started again, and goes on where it was."""
        self._ending.set()
        self._threads.shutdown(cancel_futures=True)


def in_words(decided: Decided, done: str) -> str:
    """What became of letters, in one line."""
    parts = [f"{decided.done:,} {done}"]
    if decided.left_alone:
        parts.append(f"{decided.left_alone:,} left alone, dead no longer")
    if decided.unknown:
        parts.append(f"{decided.unknown:,} of handlers that no loaded module declares")
    if decided.untold:
        parts.append("Redis did not take it; the sweeper puts that right")
    return "; ".join(parts)


def _where(operation: Operation) -> Where:
    return Where(**operation.where)


def _group(where: Where) -> dict[str, Any]:
    return dict(zip(("handler", "error", "signature"), named_group(where), strict=True))


def _about(letters: list[str]) -> dict[str, Any]:
    if not 1 <= len(letters) <= MOST_LETTERS:
        raise PipelineError(f"name 1 to {MOST_LETTERS} dead letters; for more, plan an operation")
    return {"letters": letters[:20], "count": len(letters)}


def _event_of(letters: list[str]) -> str | None:
    """The event that all of them are of, if it is one."""
    events = {letter.rpartition("|")[0] for letter in letters}
    return events.pop() if len(events) == 1 else None
