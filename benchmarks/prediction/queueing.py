"""How long events take at an offered load: a queue as the pipeline's is, simulated.

Each event goes through some jobs, one after the other: its fold, then its observers. A worker that
is free takes all small jobs that wait in a lane, up to a batch, and runs them in one transaction,
which takes a + b k for k events. Formulas for such queues (Bailey, "On Queueing Processes with
Bulk Service", 1954) tell of means and of one worker; the 99th percentile with several workers that
slow each other down is simulated, event by event in the order of time (Tocher, 1963).

With batches of one, one job an event and no contention this is the queue G/G/c.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_right
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from benchmarks.estimate import Floats

ROOM: Final = 500
"""Most events of a batch."""
JOBS: Final = 2
"""Of the main job: the fold, and the observers together."""


class Arrivals(StrEnum):
    """When events come."""

    TIMED = "timed"
    """One each so and so many milliseconds, as a benchmark sends them."""
    RANDOM = "random"
    """Independently of each other (Poisson), as many sources together do."""


class Service(BaseModel):
    """How long work takes.

    Attributes:
        job_ms: a, of a job whatever its size.
        event_ms: b, of each event in it.
        base_ms: what an event takes besides, without occupying a worker.
        spread: standard deviation of a job's time to its mean; log-normal.
        jobs: one after the other for each event.
        room: most events of a batch.
        contention: sigma of the law of scaling, by which workers at work slow each other down.
        coherence: kappa of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    job_ms: float = Field(gt=0)
    event_ms: float = Field(ge=0)
    base_ms: float = Field(default=0.0, ge=0)
    spread: float = Field(default=0.0, ge=0)
    jobs: int = Field(default=1, ge=1)
    room: int = Field(default=ROOM, ge=1)
    contention: float = Field(default=0.0, ge=0)
    coherence: float = Field(default=0.0, ge=0)

    def slowed(self, working: int) -> float:
        """By what factor work takes longer while so many workers are at it."""
        others = working - 1
        return 1 + self.contention * others + self.coherence * working * others

    def capacity(self, workers: int) -> float:
        """Single events a second that workers can do in full batches."""
        batch = self.jobs * (self.job_ms + self.event_ms * self.room)
        return 1000 * workers * self.room / (batch * self.slowed(workers))


class Times(NamedTuple):
    """How long each event took, in ms, in the order of their arrival.

    Attributes:
        wait: until its first job began.
        total: until its last job was done.
    """

    wait: Floats
    total: Floats

    @property
    def run(self) -> Floats:
        """From its first job's beginning to its last job's end."""
        return np.asarray(self.total - self.wait)


def arrivals(count: int, per_second: float, kind: Arrivals, rng: np.random.Generator) -> Floats:
    """When events come, in ms."""
    if kind is Arrivals.TIMED:
        return np.asarray(np.arange(count) * (1000 / per_second), dtype=np.float64)
    return np.asarray(np.cumsum(rng.exponential(1000 / per_second, count)), dtype=np.float64)


def noise(service: Service, count: int, rng: np.random.Generator) -> Floats:
    """Factors of the times of so many jobs; log-normal, 1 on average."""
    variance = math.log1p(service.spread**2)
    return np.asarray(np.exp(rng.normal(-variance / 2, math.sqrt(variance), count)))


def simulate(
    service: Service,
    workers: int,
    times: Floats,
    factors: Floats,
    hot: Sequence[bool] | None = None,
) -> Times:
    """Let workers work off events.

    Args:
        service: how long work takes.
        workers: how many.
        times: when each event comes, in ms, ascending.
        factors: of the times of jobs, at least as many as jobs can be.
        hot: which events are of the one hot id: only one batch at a time may hold them, in its
            first job.
    """
    queue = _Queue(service, workers, times.tolist(), hot)
    for factor in factors.tolist():
        if not queue.step(factor):
            break
    first, done = np.array(queue.first), np.array(queue.done)
    return Times(service.base_ms + first - times, service.base_ms + done - times)


class _Queue:
    """Lanes and workers. A step is a batch: which is next, when it begins, when it is done.

    Batches are looked at in the order in which they begin, so whatever could come into a lane
    before a batch begins is in it.
    """

    def __init__(
        self, service: Service, workers: int, times: list[float], hot: Sequence[bool] | None
    ) -> None:
        self._service = service
        self._slowed = [service.slowed(working) for working in range(1, workers + 1)]
        self._free = [0.0] * workers
        self._arriving = _Arriving(times, hot)
        self._following: list[list[tuple[float, int, list[int]]]] = [
            [] for _ in range(service.jobs - 1)
        ]
        self._turn = 0
        self._batches = 0
        self.first = [0.0] * len(times)
        self.done = [0.0] * len(times)

    def step(self, factor: float) -> bool:
        """Run the next batch; False when there is none."""
        ready = self._arriving.ready()
        for lane in self._following:
            if lane and lane[0][0] < ready:
                ready = lane[0][0]
        if ready == math.inf:
            return False
        began = max(heapq.heappop(self._free), ready)
        lane_number, events, is_hot = self._take(began)
        working = sum(free > began for free in self._free)
        service = self._service
        lasted = (service.job_ms + service.event_ms * len(events)) * self._slowed[working] * factor
        ended = began + lasted
        heapq.heappush(self._free, ended)
        if lane_number == 0:
            for event in events:
                self.first[event] = began
        if is_hot:
            self._arriving.lease = ended
        if lane_number == len(self._following):
            for event in events:
                self.done[event] = ended
        else:
            self._batches += 1
            heapq.heappush(self._following[lane_number], (ended, self._batches, events))
        return True

    def _take(self, now: float) -> tuple[int, list[int], bool]:
        """What a worker takes: the lanes are looked at in turn."""
        lanes = len(self._following) + 1
        for step in range(lanes):
            number = (self._turn + step) % lanes
            if number == 0:
                if self._arriving.ready() <= now:
                    self._turn = (number + 1) % lanes
                    return (0, *self._arriving.take(now, self._service.room))
            elif (lane := self._following[number - 1]) and lane[0][0] <= now:
                self._turn = (number + 1) % lanes
                return number, self._joined(lane, now), False
        raise AssertionError("a step found a lane ready, and no lane is")

    def _joined(self, lane: list[tuple[float, int, list[int]]], now: float) -> list[int]:
        taken = list(heapq.heappop(lane)[2])
        while lane and lane[0][0] <= now and len(taken) + len(lane[0][2]) <= self._service.room:
            taken += heapq.heappop(lane)[2]
        return taken


class _Arriving:
    """The first lane: events as they come, those of the hot id apart."""

    def __init__(self, times: list[float], hot: Sequence[bool] | None) -> None:
        marks = [False] * len(times) if hot is None else hot
        self._events = [
            [number for number, mark in enumerate(marks) if bool(mark) is wanted]
            for wanted in (False, True)
        ]
        self._times = [[times[number] for number in events] for events in self._events]
        self._next = [0, 0]
        self.lease = 0.0

    def ready(self) -> float:
        """When the next batch can begin."""
        cold, hot = self._next
        soonest = self._times[0][cold] if cold < len(self._times[0]) else math.inf
        if hot < len(self._times[1]):
            soonest = min(soonest, max(self._times[1][hot], self.lease))
        return soonest

    def take(self, now: float, room: int) -> tuple[list[int], bool]:
        """All that has come, the oldest first, and whether the hot id is among it."""
        cold = self._come(0, now, room)
        hot = self._come(1, now, room) if self.lease <= now else []
        events = sorted(cold + hot)[:room] if hot else cold
        last = events[-1]
        taken_hot = bisect_right(hot, last)
        self._next[0] += len(events) - taken_hot
        self._next[1] += taken_hot
        return events, taken_hot > 0

    def _come(self, which: int, now: float, room: int) -> list[int]:
        start = self._next[which]
        times = self._times[which]
        end = bisect_right(times, now, start, min(len(times), start + room))
        return self._events[which][start:end]
