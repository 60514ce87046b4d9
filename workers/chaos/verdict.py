"""What a chaos run came to: the tables against the oracle, the ledger against the registry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

from pipeline import Event
from pipeline.declarations import Fold
from pipeline.registry import Registry
from pipeline.replay import Audit, Differences, Tables, audit, compare, replay
from pipeline.store import Store
from workers.chaos.handlers import apply_account
from workers.chaos.outside import Outside, asked_for, judge_outside

SHOWN: Final = 5


class Hold(NamedTuple):
    """A time in which a run held a document: from its lease to the last of its writes."""

    fence: int
    locked_at: datetime
    written_at: datetime
    job: str


class Wipe(NamedTuple):
    """When Redis lost all it held: somewhere between these two moments."""

    begun_at: datetime
    ended_at: datetime


@dataclass(slots=True)
class Verdict:
    """What was found.

    Attributes:
        seed: of the run; the same seed is the same events and faults.
        faults: how many of each kind were injected.
        sent: events sent, repeated ones included.
        events: events there are, each once.
        late: ledger rows of events that were late for their document.
        retried: ledger rows that took more than one attempt.
        set_aside: events whose worker was killed twice, put back to work by hand.
        seconds: from the first event sent to nothing left to do.
        differences: the tables against the sequential run.
        audit: the ledger against the registry.
        overlaps: pairs of runs that held the same document at the same time.
        outside: the effects against the ledger and the sequential run.
        unfinished: why the run did not do all that was asked for, if it did not.
    """

    seed: int
    faults: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    events: int = 0
    late: int = 0
    retried: int = 0
    set_aside: int = 0
    seconds: float = 0.0
    differences: Differences = field(default_factory=lambda: Differences({}))
    audit: Audit = field(default_factory=Audit)
    overlaps: list[str] = field(default_factory=list)
    outside: Outside = field(default_factory=Outside)
    unfinished: str = ""

    @property
    def lost(self) -> int:
        """Effects that are not there, and documents that are missing."""
        missing = sum(table.missing for table in self.differences.tables.values())
        rows = self.audit.lost.count + self.audit.unfinished.count
        return rows + missing + self.outside.lost

    @property
    def doubled(self) -> int:
        """Effects there are too many of, and documents nobody made."""
        unexpected = sum(table.unexpected for table in self.differences.tables.values())
        rows = self.audit.doubled.count + self.audit.unexpected.count
        return rows + unexpected + self.outside.doubled

    @property
    def wrong(self) -> int:
        """Documents that differ from the oracle's."""
        return sum(table.different for table in self.differences.tables.values())

    @property
    def clean(self) -> bool:
        """Whether events were sent, and everything is as if nothing had happened to them."""
        wrong = self.lost or self.doubled or self.wrong or self.overlaps
        return bool(self.events) and not (self.unfinished or wrong)

    @property
    def reservations(self) -> list[str]:
        """What this verdict does not say, though a reader might take it for said."""
        said = []
        if not self.faults.total():
            said.append("no fault was injected")
        if not self.outside.judged:
            said.append("effects were not judged: they are known of the run's own handlers only")
        return said

    def to_json(self) -> dict[str, Any]:
        """The verdict for programs."""
        return {
            "seed": self.seed,
            "clean": self.clean,
            "faults": dict(self.faults),
            "injected": sum(self.faults.values()),
            "sent": self.sent,
            "events": self.events,
            "lost": self.lost,
            "doubled": self.doubled,
            "wrong": self.wrong,
            "overlaps": len(self.overlaps),
            "effects_judged": self.outside.judged,
            "effects": self.outside.keys,
            "repeated_effects": self.outside.repeated,
            "explained_repetitions": self.outside.explained,
            "late": self.late,
            "retried": self.retried,
            "set_aside": self.set_aside,
            "seconds": round(self.seconds, 1),
            "unfinished": self.unfinished,
            "details": self.details(),
            "reservations": self.reservations,
        }

    def details(self) -> list[str]:
        """The first of what is wrong, for people."""
        found = [self.unfinished] if self.unfinished else []
        if not self.events:
            found.append("no event was sent, so nothing was tried")
        if not self.differences.equal:
            found += str(self.differences).splitlines()
        if not self.audit.clean:
            found += str(self.audit).splitlines()
        return found + self.outside.details() + self.overlaps[:SHOWN]


def judge(
    verdict: Verdict,
    store: Store,
    registry: Registry,
    events: Sequence[Event],
    wipes: Sequence[Wipe] = (),
) -> Tables:
    """Compare what is stored with a sequential run of the same events in memory.

    Args:
        verdict: is told.
        store: what is stored.
        registry: the handlers.
        events: what was sent.
        wipes: when Redis was wiped, in their order.

    Returns:
        The tables of the sequential run.
    """
    expected = replay(registry, events)
    verdict.events = expected.events
    names = registry.tables()
    verdict.differences = compare(expected, {name: store.scan(name) for name in names})
    failures = [(failure.event, failure.handler) for failure in expected.failures]
    verdict.audit = audit(registry, events, _rows(verdict, store), failures)
    verdict.overlaps = overlaps(_holds(store, registry), wipes)
    return expected


def judge_effects(
    verdict: Verdict, store: Store, expected: Tables, sink: Path, workers: int
) -> None:
    """Compare what came outside with the ledger and the sequential run.

    Args:
        verdict: is told; it knows the faults, of which each may have hit all workers.
        store: what is stored.
        expected: the tables of the sequential run.
        sink: the file that stands for the world outside; need not be there.
        workers: worker processes that there were.
    """
    if apply_account.table not in expected.chains:
        return
    came = Counter(sink.read_text().splitlines()) if sink.exists() else Counter[str]()
    ledger = store.records.ledger
    asked = asked_for(expected, ledger.scan())
    repeats = verdict.faults.total() * workers
    verdict.outside = judge_outside(came, ledger.scan(), asked, repeats)


def _rows(verdict: Verdict, store: Store) -> Iterator[tuple[str, str, str]]:
    for row in store.records.ledger.scan():
        verdict.late += row.late_ms is not None
        verdict.retried += row.attempt > 1
        yield row.event, row.handler, row.state.value


def _holds(store: Store, registry: Registry) -> Iterator[tuple[str, Hold]]:
    """For each document of a fold, the times in which runs held it."""
    folds = {h.name: h.table for h in registry if isinstance(h, Fold)}
    runs = store.records.batches.every_run()
    for row in store.records.ledger.scan():
        run = runs.get(row.job)
        if row.handler not in folds or row.key is None or run is None:
            continue
        if run.fence and run.locked_at and run.written_at:
            hold = Hold(run.fence, run.locked_at, run.written_at, row.job)
            yield f"{folds[row.handler]}:{row.key}", hold


def overlaps(holds: Iterable[tuple[str, Hold]], wipes: Sequence[Wipe] = ()) -> list[str]:
    """Where two runs held one document at the same time; a lease is there to prevent it.

    A run that lost its lease took a new one, and its hold counts from then on. So the holds
    of one document follow each other, in the order of their fences. When Redis is wiped nobody
    holds anything any more, and transactions decide: a hold from before ends there.
    """
    by_key: dict[str, set[Hold]] = {}
    for key, hold in holds:
        by_key.setdefault(key, set()).add(hold)
    found = []
    for key, times in by_key.items():
        ordered = sorted(times)
        for one, other in pairwise(ordered):
            if _are_two(one, other) and other.locked_at < _end(one, wipes):
                found.append(
                    f"{key}: held by {one.job} until {one.written_at:%H:%M:%S.%f} "
                    f"and by {other.job} from {other.locked_at:%H:%M:%S.%f}"
                )
    return found


def _are_two(one: Hold, other: Hold) -> bool:
    """Whether these are of two runs: batches that are run together share their fence."""
    return one.job != other.job and one.fence != other.fence


def _end(hold: Hold, wipes: Sequence[Wipe]) -> datetime:
    """When a hold ended: with its run's writes, or with the first wipe after it was taken."""
    ended = (wipe.begun_at for wipe in wipes if hold.locked_at <= wipe.ended_at)
    return min(hold.written_at, next(ended, hold.written_at))
