"""Our product as a subject of the comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr

from benchmarks.feeding import feed, processes, wait_for_workers
from benchmarks.measuring import Commits
from benchmarks.peers.ledgered import HANDLERS, moments_by_ledger
from benchmarks.peers.peer import Guarantees, Moments
from benchmarks.peers.place import Place
from benchmarks.places import ensure_alone, leave
from benchmarks.results import PIPELINE
from benchmarks.warming import warm_up
from pipeline import Event
from pipeline.registry import SIBLINGS
from pipeline.settings import Settings
from workers.bootstrap import Application, application
from workers.supervisor import Supervisor

GUARANTEES: Final = Guarantees(
    accepted="in MongoDB, on the disks of a majority, with the work that follows from it",
    effects="exactly once in the database: effects, ledger and done mark are one transaction",
    order="by event time for each appointment, in whatever order events come",
    late="put where it belongs; later changes and all that was counted are corrected",
    traces="every handler of every event: when, by whom, what it wrote, what failed",
    wiped="nothing: what was pending is enqueued again from MongoDB",
)


@dataclass(frozen=True)
class Ours:
    """The pipeline with its workers and its sweeper.

    Attributes:
        name: what it is called in results.
        setup: how it is run here.
        guarantees: what a user may rely on.
        least_per_second: events a second that it does at least, by which it is given fewer in bulk.
    """

    name: str = PIPELINE
    setup: str = "`pipeline worker` processes and a sweeper, as `pipeline up` starts them"
    guarantees: Guarantees = GUARANTEES
    least_per_second: float | None = None

    def missing(self) -> str | None:
        """Nothing."""
        return None

    @contextmanager
    def running(self, place: Place, workers: int = 2) -> Iterator[OurSession]:
        """Start so many workers and a sweeper.

        Raises:
            PlaceTakenError: another pipeline uses this Redis.
        """
        settings = Settings(
            mongo_url=SecretStr(place.where.mongo_url),
            redis_url=SecretStr(place.where.redis_url),
            database=place.database,
            data_dir=place.folder,
            handlers=list(HANDLERS),
            workers=workers,
        )
        with application(settings, place.where) as app:
            ensure_alone(app)
            with processes(settings, place.where) as supervisor:
                wait_for_workers(app, supervisor)
                warm_up(app, workers, supervisor.tend)
                yield OurSession(app, supervisor)
            leave(app)


class OurSession:
    """A pipeline whose workers run.

    Args:
        app: takes events.
        supervisor: of its processes.
    """

    def __init__(self, app: Application, supervisor: Supervisor) -> None:
        self._app = app
        self._supervisor = supervisor
        self._commits = Commits(app.store.database)
        self._handlers = {handler.name for handler in app.registry}

    def submit(self, events: Sequence[Event]) -> None:
        """In batches, never far ahead of the workers."""
        feed(self._app, events, tick=self._supervisor.tend)

    def submit_one(self, event: Event) -> None:
        """In a transaction of its own."""
        self._app.dispatcher.submit([event])

    def done(self) -> int:
        """How many of the events that were submitted are in no batch that is still to be run."""
        records = self._app.store.records
        submitted = records.events.count()
        waiting = sum(
            events
            for names, (_, events) in records.batches.backlog().items()
            # What else waits is no work of the events, such as a verification in between.
            if names.partition(SIBLINGS)[0] in self._handlers
        )
        return submitted - waiting

    def moments(self) -> Moments:
        """When each event was read and written."""
        return moments_by_ledger(self._app.store, self._commits)

    def pids(self) -> Mapping[str, int]:
        """Process ids of workers and sweeper."""
        return self._supervisor.pids()

    def tend(self) -> None:
        """Let the supervisor do what is due."""
        self._supervisor.tend()
