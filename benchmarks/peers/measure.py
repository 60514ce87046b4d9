"""Measures one subject: how much goes through in bulk, and how long single events take.

Both are bounded in time. What a subject did not get done by then is told, and its rate is that
of what it did.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final

from pymongo import MongoClient
from redis import Redis

from benchmarks.bench import Bench
from benchmarks.measuring import Meter, Sampler, latency_of
from benchmarks.peers.checking import Checked, Document, check
from benchmarks.peers.peer import Moments, Session
from benchmarks.peers.place import Place
from benchmarks.peers.subjects import subject_of
from benchmarks.product import Told
from benchmarks.results import Latency, Load, Reliability
from benchmarks.spec import Spec
from benchmarks.timetable import send
from benchmarks.workload import FLIGHTS, arriving
from pipeline import Event
from pipeline.tables import CODEC

BULK_SECONDS: Final = 60.0
"""So long a subject may work on a bulk; a slow one gets as many events as it does in half."""
LINGER_SECONDS: Final = 30.0
"""So long events that were sent on time may take to be done after the last one was sent."""
POLL_SECONDS: Final = 0.02
PAUSE: Final = 10.0
"""We pause so many times longer than it took to ask."""

_numbers = count(1)


@dataclass(frozen=True)
class Sent:
    """What was sent, and what came of it.

    Attributes:
        events: all that were sent, in the order of sending.
        began_at: when the first one was sent.
        seconds: until all were done, or we gave up.
        done: how many different ones were done by then.
        backlog: those that still waited when the last one had been sent.
        due: of single events, by event key, when each was due.
        moments: of single events, when each was worked on.
    """

    events: Sequence[Event]
    began_at: datetime
    seconds: float
    done: int
    backlog: int
    due: Mapping[str, datetime]
    moments: Moments

    @property
    def different(self) -> list[Event]:
        """The events, each once."""
        return list({event.key: event for event in self.events}.values())


def measure(
    bench: Bench, spec: Spec, told: Told, *, patience: float = BULK_SECONDS
) -> dict[str, Any]:
    """Make one run of a subject.

    Args:
        bench: where.
        spec: what kind of run; of flights, and with no settings of ours.
        told: of the progress.
        patience: seconds that it may work on a bulk.

    Returns:
        The fields of a `Run`, but for those that say of which scenario it is.

    Raises:
        ValueError: there is no such subject, or it can't be compared on these events.
        PeerEndedError: its workers don't run.
        PeerSlowError: its workers don't begin.
    """
    subject = subject_of(spec.subject)
    if spec.workload.source != FLIGHTS:
        raise ValueError(f"subjects are compared on flights, not on {spec.workload.source}")
    events = list(arriving(spec.workload).events)
    given = events
    if spec.load is Load.BULK and subject.least_per_second is not None:
        given = events[: max(1, int(subject.least_per_second * patience / 2))]
    with _fresh(bench, spec.subject) as (place, client):
        with subject.running(place, spec.workers) as session, _apart():
            sampler = Sampler(lambda: bench.beside, families=session.pids)
            with (
                Redis.from_url(bench.where.redis_url) as redis,
                Meter(client, redis) as meter,
                sampler,
            ):
                sent = _send(session, spec, given, told, patience)
        told("looking at what came of it", 0)
        database = client.get_database(place.database, codec_options=CODEC)
        finished = sent.done == len(sent.different)
        checked = check(database, sent.different) if finished else None
    return {
        "subject": spec.subject,
        "load": spec.load,
        "workers": spec.workers,
        "seed": spec.workload.seed,
        "began_at": sent.began_at,
        "seconds": round(sent.seconds, 3),
        "events": sent.done,
        "sent": len(sent.events) if finished else sent.done,
        "offered_per_second": spec.per_second,
        "backlog": sent.backlog,
        "latency": _latency(sent),
        "usage": sampler.usage(),
        "cost": meter.cost,
        "reliability": checked.reliability if checked else Reliability(),
        "notes": [subject.setup, *_shortfall(len(events), len(given), sent), *_faults(checked)],
    }


@contextmanager
def _apart() -> Iterator[None]:
    """Keep the garbage collector from all that is there by now, which is mostly the events.

    A sender of somebody's own has no list of all that it will ever send, so no subject is to pay
    for ours.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def _fresh(bench: Bench, subject: str) -> Iterator[tuple[Place, MongoClient[Document]]]:
    """A place on a database of its own, which is dropped afterwards."""
    name = f"peer_{subject.replace('-', '_')}_{os.getpid()}_{next(_numbers)}"
    folder = bench.settings.data_dir.absolute() / "peers"
    with MongoClient[Document](bench.where.mongo_url) as client:
        try:
            yield Place(bench.where, name, folder), client
        finally:
            client.drop_database(name)


def _send(
    session: Session, spec: Spec, given: Sequence[Event], told: Told, patience: float
) -> Sent:
    wanted = len({event.key for event in given})
    began_at, clock = datetime.now(UTC), time.monotonic()
    due: Mapping[str, datetime] = {}
    told("sending", 0)
    if spec.per_second is None:
        session.submit(given)
        until = clock + patience
    else:
        due = send(session.submit_one, given, spec.per_second)
        until = time.monotonic() + LINGER_SECONDS
    backlog = wanted - session.done()
    done = _wait(session, wanted, told, until=until)
    seconds = time.monotonic() - clock
    moments = session.moments() if due else Moments({}, {})
    return Sent(given, began_at, seconds, done, max(0, backlog), due, moments)


def _wait(session: Session, wanted: int, told: Told, *, until: float) -> int:
    """Wait until so many events are done or the time is over; how many are."""
    while True:
        asked = time.monotonic()
        done = session.done()
        told("working off", min(done, wanted))
        if done >= wanted or time.monotonic() > until:
            return min(done, wanted)
        session.tend()
        # Counting must not be what takes MongoDB's time.
        time.sleep(max(POLL_SECONDS, PAUSE * (time.monotonic() - asked)))


def _latency(sent: Sent) -> Latency | None:
    """Events that were not done count with the time that they had taken when we gave up."""
    if not sent.due:
        return None
    gave_up = sent.began_at.timestamp() + sent.seconds
    end = datetime.fromtimestamp(gave_up, UTC)
    committed = {key: sent.moments.committed.get(key, end) for key in sent.due}
    return latency_of(sent.due, sent.moments.began, committed)


def _shortfall(wanted: int, given: int, sent: Sent) -> list[str]:
    """What a reader has to know of what was not done."""
    notes = []
    if given < wanted:
        notes.append(f"given {given} of {wanted} events, since it does few a second")
    left = len(sent.different) - sent.done
    if left:
        notes.append(
            f"{left} of {len(sent.different)} events were not done {sent.seconds:.0f} s after the "
            f"first was sent, so its tables were not compared"
        )
        if sent.due:
            notes.append("those count in the latency with the time that they had taken by then")
    return notes


def _faults(checked: Checked | None) -> list[str]:
    return checked.faults if checked else []
