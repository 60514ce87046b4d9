"""The simulated queue, against textbooks and against another simulation."""

import heapq
import math
import random
from collections import deque
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.prediction.queueing import Arrivals, Service, Times, arrivals, noise, simulate

pytestmark = pytest.mark.uncounted

COUNT = 150_000
WARM_UP = 5_000


def single(rate: float, workers: int, *, exponential: bool, seed: int = 1) -> Times:
    """A queue without batches: Poisson arrivals, jobs of 10 ms on average, one event a job."""
    rng = np.random.default_rng(seed)
    factors = rng.exponential(1, COUNT + 1) if exponential else np.ones(COUNT + 1)
    times = arrivals(COUNT, rate, Arrivals.RANDOM, rng)
    found = simulate(Service(job_ms=10, event_ms=0, room=1), workers, times, factors)
    return Times(found.wait[WARM_UP:], found.total[WARM_UP:])


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_one_worker_is_the_queue_m_m_1(load: float) -> None:
    """Time in the system is exponential at rate mu - lambda."""
    found = single(100 * load, 1, exponential=True)
    for share in (0.5, 0.9, 0.99):
        expected = -math.log(1 - share) / (100 - 100 * load) * 1000
        assert np.quantile(found.total, share) == pytest.approx(expected, rel=0.08)


@pytest.mark.parametrize("workers", [2, 4])
def test_several_workers_are_the_queue_m_m_c(workers: int) -> None:
    """The probability of waiting at all is Erlang's C; the wait has an exponential tail."""
    load = 0.8 * workers
    found = single(100 * load, workers, exponential=True)
    terms = [load**k / math.factorial(k) for k in range(workers)]
    last = load**workers / math.factorial(workers) / (1 - 0.8)
    erlang = last / (sum(terms) + last)
    assert np.mean(found.wait > 1e-9) == pytest.approx(erlang, rel=0.04)
    for share in (0.9, 0.99):
        expected = math.log(erlang / (1 - share)) / (100 * workers - 100 * load) * 1000
        assert np.quantile(found.wait, share) == pytest.approx(expected, rel=0.1)


def test_jobs_that_all_last_alike_are_the_queue_m_d_1() -> None:
    """The distribution of the wait by Erlang's (1909) and Crommelin's (1932) series."""
    load = 0.7
    found = single(100 * load, 1, exponential=False)

    def below(wait: float) -> float:
        series = 0.0
        for k in range(int(wait) + 1):
            part = load * (wait - k)
            series += (-part) ** k / math.factorial(k) * math.exp(part)
        return (1 - load) * series

    for wait in (0.5, 1.0, 2.0, 4.0, 6.0):
        assert np.mean(found.wait <= 10 * wait) == pytest.approx(below(wait), abs=0.012)


def test_the_mean_wait_is_that_of_pollaczek_and_khinchine() -> None:
    """For log-normal times too (1930): lambda E[S^2] / (2 (1 - rho))."""
    rng = np.random.default_rng(3)
    service = Service(job_ms=10, event_ms=0, room=1, spread=1.2)
    times = arrivals(COUNT, 60, Arrivals.RANDOM, rng)
    found = simulate(service, 1, times, noise(service, COUNT + 1, rng))
    expected = 0.06 * 100 * (1 + 1.2**2) / (2 * (1 - 0.6))
    assert np.mean(found.wait) == pytest.approx(expected, rel=0.08)


def test_an_idle_queue_takes_nothing_but_the_work() -> None:
    """Base, and for each job a + b."""
    service = Service(job_ms=8, event_ms=2, base_ms=5, jobs=3)
    times = arrivals(50, 10, Arrivals.TIMED, np.random.default_rng(0))
    found = simulate(service, 1, times, np.ones(200))
    assert found.total == pytest.approx(np.full(50, 35))
    assert found.wait == pytest.approx(np.full(50, 5))
    assert found.run == pytest.approx(np.full(50, 30))


def test_a_backlog_goes_through_at_the_capacity() -> None:
    """Ten thousand at once, in full batches, by workers that slow each other down."""
    service = Service(job_ms=10, event_ms=0.5, jobs=2, room=100, contention=0.1, coherence=0.02)
    for workers in (1, 2, 5):
        found = simulate(service, workers, np.zeros(10_000), np.ones(20_001))
        assert 1000 * 10_000 / found.total.max() == pytest.approx(
            service.capacity(workers), rel=0.05
        )


def test_capacity_is_that_of_gunthers_law() -> None:
    """One worker's rate, times workers, divided by what they cost each other."""
    service = Service(job_ms=10, event_ms=0.5, room=100, contention=0.1, coherence=0.02)
    assert service.capacity(1) == pytest.approx(100 / 0.060)
    assert service.capacity(4) == pytest.approx(4 * 100 / 0.060 / (1 + 0.3 + 0.24))


def test_factors_of_time_are_one_on_average() -> None:
    """And spread as asked."""
    found = noise(Service(job_ms=1, event_ms=0, spread=0.8), COUNT, np.random.default_rng(1))
    assert np.mean(found) == pytest.approx(1, rel=0.02)
    assert np.std(found) == pytest.approx(0.8, rel=0.05)


def test_timed_arrivals_are_even_and_random_ones_are_not() -> None:
    """Both are as many a second as asked."""
    rng = np.random.default_rng(1)
    timed = np.diff(arrivals(10_000, 50, Arrivals.TIMED, rng))
    randomly = np.diff(arrivals(10_000, 50, Arrivals.RANDOM, rng))
    assert timed == pytest.approx(np.full(9_999, 20))
    assert np.mean(randomly) == pytest.approx(20, rel=0.05)
    assert np.std(randomly) == pytest.approx(20, rel=0.05)


@dataclass
class Naive:
    """The same rules as a calendar of events: arrivals and ends of jobs, workers that idle.

    Nothing is looked ahead at: whenever something happens, idle workers look for work.
    """

    service: Service
    workers: int
    times: list[float]
    hot: list[bool]
    done: dict[int, float] = field(default_factory=dict)
    began: dict[int, float] = field(default_factory=dict)
    sizes: list[int] = field(default_factory=list)

    def run(self) -> list[float]:
        """How long each event took."""
        self.calendar: list[tuple[float, int, str, tuple[int, list[int], bool]]] = []
        self.lanes: list[deque[list[int]]] = [deque() for _ in range(self.service.jobs)]
        self.idle, self.turn, self.leased, self.count = self.workers, 0, False, 0
        for number, at in enumerate(self.times):
            self.note(at, "arrival", (0, [number], False))
        while self.calendar:
            now, _, what, (lane, events, hot) = heapq.heappop(self.calendar)
            if what == "arrival":
                self.lanes[0].append(events)
            else:
                self.idle += 1
                self.leased = self.leased and not hot
                if lane + 1 == self.service.jobs:
                    self.done.update(dict.fromkeys(events, now))
                else:
                    self.lanes[lane + 1].append(events)
            # What happens at one moment has all happened before somebody looks.
            if not self.calendar or self.calendar[0][0] > now:
                self.look(now)
        return [
            self.service.base_ms + self.done[number] - at for number, at in enumerate(self.times)
        ]

    def look(self, now: float) -> None:
        """Let idle workers take what they can."""
        while self.idle:
            for step in range(self.service.jobs):
                lane = (self.turn + step) % self.service.jobs
                if taken := self.taken(lane):
                    break
            else:
                return
            self.turn = (lane + 1) % self.service.jobs
            self.idle -= 1
            working = self.workers - self.idle
            slowed = 1 + self.service.contention * (working - 1)
            slowed += self.service.coherence * working * (working - 1)
            lasts = (self.service.job_ms + self.service.event_ms * len(taken)) * slowed
            hot = lane == 0 and any(self.hot[number] for number in taken)
            self.leased = self.leased or hot
            if lane == 0:
                self.began.update(dict.fromkeys(taken, now))
            self.sizes.append(len(taken))
            self.note(now + lasts, "end", (lane, taken, hot))

    def taken(self, lane: int) -> list[int]:
        """From the head of a lane as much as fits; hot events stay while their id is leased."""
        found: list[int] = []
        left: deque[list[int]] = deque()
        while self.lanes[lane]:
            events = self.lanes[lane].popleft()
            if lane == 0 and self.leased and self.hot[events[0]]:
                left.append(events)
            elif len(found) + len(events) <= self.service.room:
                found += events
            else:
                left.append(events)
                break
        self.lanes[lane].extendleft(reversed(left))
        return found

    def note(self, at: float, what: str, details: tuple[int, list[int], bool]) -> None:
        """Put something into the calendar."""
        self.count += 1
        heapq.heappush(self.calendar, (at, self.count, what, details))


@pytest.mark.parametrize("seed", range(12))
def test_every_event_takes_as_long_as_in_another_simulation(seed: int) -> None:
    """Random loads, light to far too heavy; batches, contention and a hot id."""
    draw = random.Random(seed)
    service = Service(
        job_ms=draw.uniform(1, 20),
        event_ms=draw.uniform(0.1, 3),
        base_ms=draw.uniform(0, 10),
        jobs=draw.choice((1, 2, 3)),
        room=draw.choice((1, 3, 20, 500)),
        contention=draw.uniform(0, 0.3),
        coherence=draw.uniform(0, 0.05),
    )
    workers = draw.choice((1, 2, 4, 7))
    gap = draw.uniform(0.2, 15)
    now, times = 0.0, []
    for _ in range(1500):
        now += draw.expovariate(1 / gap)
        times.append(now)
    share = draw.choice((0.0, 0.2, 0.8))
    hot = [draw.random() < share for _ in times]
    naive = Naive(service, workers, times, hot)
    expected = naive.run()
    found = simulate(service, workers, np.array(times), np.ones(20_000), hot)
    assert found.total.tolist() == pytest.approx(expected, abs=1e-6)
    waits = [service.base_ms + naive.began[number] - at for number, at in enumerate(times)]
    assert found.wait.tolist() == pytest.approx(waits, abs=1e-6)
    assert max(naive.sizes) <= service.room


def mean(service: Service, workers: int, rate: float) -> float:
    """Of the time that events take; tails are left to chance far more."""
    rng = np.random.default_rng(1)
    times = arrivals(6_000, rate, Arrivals.RANDOM, rng)
    found = simulate(service, workers, times, noise(service, 20_000, rng))
    return float(np.mean(found.total))


def test_a_hot_id_is_done_one_batch_after_the_other() -> None:
    """With all events on it, more workers help no more: rate = batch / time of a batch."""
    service = Service(job_ms=10, event_ms=1, room=50)
    for workers in (1, 4):
        found = simulate(service, workers, np.zeros(5_000), np.ones(5_000), [True] * 5_000)
        assert 1000 * 5_000 / found.total.max() == pytest.approx(50 / 0.060, rel=0.01)


@settings(max_examples=25, deadline=None)
@given(
    job=st.floats(1, 20),
    event=st.floats(0.01, 1),
    spread=st.floats(0, 1),
    jobs=st.integers(1, 3),
    workers=st.integers(1, 4),
    used=st.floats(0.05, 0.4),
)
def test_more_load_is_never_faster_nor_are_fewer_workers(
    job: float, event: float, spread: float, jobs: int, workers: int, used: float
) -> None:
    """Without contention, up to what draws of chance make of it.

    Each job is of one event: where they are taken together, who has fewer workers has larger
    batches, and may be the faster for it.
    """
    service = Service(job_ms=job, event_ms=event, spread=spread, jobs=jobs, room=1)
    rate = used * service.capacity(workers)
    here = mean(service, workers, rate)
    assert mean(service, workers, 2 * rate) >= 0.95 * here
    assert mean(service, workers + 1, rate) <= 1.05 * here
