"""What the tries of one run hand on to each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

from pipeline.declarations import Handler, Observer
from pipeline.executor.deriving import Transitions
from pipeline.executor.locking import Grip
from pipeline.executor.plan import Contested, Plan, Run
from pipeline.executor.recent import Seen
from pipeline.store import Batch


class Along(NamedTuple):
    """Observers that a fold takes along.

    Attributes:
        batch: the observers on the fold's events; never pending.
        plans: what each of them makes of the events.
    """

    batch: Batch
    plans: Mapping[Observer, Plan]


class Planned(NamedTuple):
    """What each handler makes of the events.

    Attributes:
        plans: by handler.
        transitions: the changes that are known for it.
        along: the observers that are taken along, if any are.
    """

    plans: dict[Handler, Plan]
    transitions: Transitions
    along: Along | None = None

    def parts(self, run: Run) -> Iterator[tuple[Handler, Plan, Run]]:
        """Each handler with its plan, and with the facts that its rows share.

        Rows of what is taken along name their own batch, with the moments of the fold's run.
        """
        for handler, plan in self.plans.items():
            yield handler, plan, run
        if self.along is not None:
            batch = self.along.batch
            beside = replace(run, job=batch.id, batches=dict.fromkeys(batch.events, batch))
            for observer, plan in self.along.plans.items():
                yield observer, plan, beside

    @property
    def fence(self) -> int:
        """The highest fence under which what was read had been written."""
        return max((plan.fence for plan in self.plans.values()), default=0)

    @property
    def halting(self) -> bool:
        """Whether an event is not applied, since a handler failed on it or it has to wait."""
        return any(plan.faults or plan.waiting for plan in self.plans.values())


@dataclass(slots=True)
class Course:
    """One run, from its first try to its last.

    Attributes:
        handlers: one, or sibling observers.
        batches: what they are run on.
        seen: their events, and what is remembered of the changes.
        started_at: when we began to read.
        doubtful: whether something may be done already, so that the next try has to look.
        ahead: what was planned before the transaction began, if anything.
        contested: derived documents to seize first, since an earlier try lost them.
        companions: observers of the fold that the next try takes along.
        accompanied: whether the last try took them along.
        followed: by id, what the batches that follow will read.
        grip: the leases we hold, and the events whose ids others have.
        locked_at: since when we hold them.
    """

    handlers: Sequence[Handler]
    batches: Sequence[Batch]
    seen: Seen
    started_at: datetime
    doubtful: bool
    ahead: Planned | None = None
    contested: Contested = field(default_factory=dict)
    companions: Sequence[Observer] = ()
    accompanied: bool = False
    followed: dict[str, Seen] = field(default_factory=dict)
    grip: Grip = field(default_factory=Grip)
    locked_at: datetime | None = None

    @property
    def job(self) -> str:
        """The RQ job that the ledger names: the first of the batches."""
        return self.batches[0].id

    def free(self, batches: Sequence[Batch]) -> Iterator[str]:
        """The events of these batches that can be run now."""
        busy = self.grip.busy
        return (event for batch in batches for event in batch.events if event not in busy)

    def runnable(self) -> list[Batch]:
        """The batches of which at least one event can be run now."""
        return [batch for batch in self.batches if any(self.free([batch]))]

    def put_off(self, batches: Sequence[Batch]) -> list[tuple[Batch, Batch]]:
        """Those of the batches that are run in part, each with the rest as one of its own."""
        busy = self.grip.busy
        found = []
        for batch in batches if busy else ():
            rest = [event for event in batch.events if event in busy]
            if rest:
                again = Batch.of(batch.handler, rest, batch.lane, batch.attempt, batch.deaths)
                found.append((batch, again))
        return found
