"""The scenarios: each a question, the runs that answer it, and what counts as a pass.

A declaration only; `benchmarks.runner` makes the runs, and whoever wants another scenario adds
one to `SCENARIOS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

from benchmarks import product
from benchmarks.bench import Bench
from benchmarks.drift import beside, verify
from benchmarks.guarantees import rescue
from benchmarks.peers import measure as peers
from benchmarks.peers.subjects import SUBJECTS, missing
from benchmarks.product import Told
from benchmarks.replaying import replaying
from benchmarks.results import Load, Run, Value
from benchmarks.sources import shared
from benchmarks.spec import Spec
from benchmarks.waiting import redis_memory
from benchmarks.workload import FLIGHTS, SYNTHETIC, Workload

Labels = dict[str, Value]
Measure = Callable[[Bench, Spec, Told], dict[str, Any]]
Variants = Callable[[int], list[tuple[Labels, Spec]]]
"""From the number of events of a run to what the runs differ in, and the runs."""


@dataclass(frozen=True)
class Criterion:
    """What counts as a pass.

    Attributes:
        words: one sentence that can be true or not.
        met: whether it is, by all runs of the scenario.
    """

    words: str
    met: Callable[[Sequence[Run]], bool]


@dataclass(frozen=True)
class Scenario:
    """A question, and the runs that answer it.

    Attributes:
        name: one word or two, joined by a hyphen.
        question: what is to be known.
        variants: the runs, of which all are made once before any is made again.
        events: of a run, unless told otherwise.
        criteria: what counts as a pass.
        measure: makes a run; returns the fields of a `Run` but for those that say of which
            scenario it is.
    """

    name: str
    question: str
    variants: Variants
    events: int = 40_000
    criteria: Sequence[Criterion] = field(default_factory=tuple)
    measure: Measure = product.measure


def nothing_lost(runs: Sequence[Run]) -> bool:
    """No run has lost, doubled or spoilt anything, as far as that was looked at."""
    kinds = ("lost", "doubled", "wrong", "dead")
    return not any(getattr(run.reliability, kind) for run in runs for kind in kinds)


def ratio(runs: Sequence[Run], label: str, one: Value, other: Value) -> float:
    """Median of the ratios of rates, of runs made side by side that differ in one label.

    Raises:
        statistics.StatisticsError: there are no such runs.
    """
    rates: dict[int, dict[Value, float]] = {}
    for run in runs:
        rates.setdefault(run.repeat, {})[run.variant[label]] = run.per_second
    pairs = [found for found in rates.values() if one in found and other in found]
    return median(found[one] / found[other] for found in pairs)


def _of(label: str, values: Sequence[Value], make: Callable[[Value, int], Spec]) -> Variants:
    return lambda events: [({label: value}, make(value, events)) for value in values]


def _bulk(events: int, **workload: Value) -> Workload:
    source = str(workload.pop("source", FLIGHTS))
    return Workload.model_validate({"source": source, "events": events, **workload})


def _rate(value: Value, events: int) -> Spec:
    rate = float(value)
    seconds = max(2.0, events / 2_000)
    workload = Workload(events=max(100, int(rate * seconds)))
    return Spec(workload=workload, load=Load.OPEN, per_second=rate)


def _p99_below(rate: float, milliseconds: float) -> Criterion:
    def met(runs: Sequence[Run]) -> bool:
        found = [run.latency for run in runs if run.variant["per_second"] == rate]
        return all(one is not None and one.end_to_end.p99 < milliseconds for one in found)

    return Criterion(f"at {rate:g} single events a second p99 is below {milliseconds:g} ms", met)


def _once(events: int) -> list[tuple[Labels, Spec]]:
    return [({}, Spec(workload=_bulk(events)))]


def _replays(events: int) -> list[tuple[Labels, Spec]]:
    """Flights, and hotel bookings where they are at hand."""
    bookings = shared("hotel_bookings")
    sources = {"flights": FLIGHTS} | ({"bookings": str(bookings)} if bookings.is_file() else {})
    return [
        ({"data": name}, Spec(workload=_bulk(events, source=source)))
        for name, source in sources.items()
    ]


def _of_peers(events: int) -> list[tuple[Labels, Spec]]:
    """In bulk and at three rates, of every subject that is installed."""
    absent = missing()
    names = [subject.name for subject in SUBJECTS if subject.name not in absent]
    loads: list[tuple[Labels, Spec]] = [({"load": "bulk"}, Spec(workload=_bulk(events)))]
    loads += [({"per_second": rate}, _rate(rate, events)) for rate in (50, 200, 1_000)]
    return [
        (labels, spec.model_copy(update={"subject": name}))
        for labels, spec in loads
        for name in names
    ]


def _least(runs: Sequence[Run], figure: str) -> float:
    return min(run.figures[figure] for run in runs)


def _most(runs: Sequence[Run], figure: str) -> float:
    return max(run.figures[figure] for run in runs)


def _found_exactly(runs: Sequence[Run]) -> bool:
    missed = (run.figures["planted"] - run.figures["found"] for run in runs)
    return not any(missed) and not _most(runs, "found_and_not_planted")


SOUND: Final = Criterion("nothing is lost, doubled, wrong or a dead letter", nothing_lost)

SCENARIOS: Final = (
    Scenario(
        "throughput",
        "How many events a second go through in bulk, with all guarantees on?",
        _once,
        criteria=(SOUND,),
    ),
    Scenario(
        "rates",
        "How long does a single event take at a rate that does not wait for us?",
        _of("per_second", (50, 200, 1_000), _rate),
        criteria=(_p99_below(200, 50), _p99_below(1_000, 200)),
    ),
    Scenario(
        "workers",
        "How does throughput grow with workers?",
        _of("workers", (1, 2, 4, 8), lambda n, e: Spec(workload=_bulk(e), workers=int(n))),
        criteria=(
            Criterion(
                "two workers do at least 1.6 times the work of one",
                lambda runs: ratio(runs, "workers", 2, 1) >= 1.6,  # noqa: PLR2004 - the bar
            ),
        ),
    ),
    Scenario(
        "events",
        "Does an event cost as much when millions are stored?",
        _of(
            "stored",
            (0, 100_000, 1_000_000),
            lambda n, e: Spec(workload=_bulk(e), stored=int(n)),
        ),
        criteria=(
            Criterion(
                "at a million stored events the rate is within 15 % of the start",
                lambda runs: ratio(runs, "stored", 1_000_000, 0) >= 0.85,  # noqa: PLR2004 - as above
            ),
        ),
    ),
    Scenario(
        "batches",
        "What does the size of batches give?",
        _of(
            "batch_size",
            (1, 10, 100, 500),
            lambda n, e: Spec(
                workload=_bulk(max(500, e * min(int(n), 100) // 100)), settings={"batch_size": n}
            ),
        ),
    ),
    Scenario(
        "tenants",
        "Do many tenants, or a few large ones, cost throughput?",
        lambda events: [
            (
                {"tenants": tenants, "skew": skew},
                Spec(workload=_bulk(events, source=SYNTHETIC, tenants=tenants, skew=skew)),
            )
            for tenants, skew in ((1, 0.0), (30, 0.0), (30, 1.2), (1_000, 0.0), (1_000, 1.2))
        ],
    ),
    Scenario(
        "locks",
        "What do leases on ids cost?",
        _of("locks", (True, False), lambda on, e: Spec(workload=_bulk(e), locks=bool(on))),
        criteria=(
            Criterion(
                "with leases the rate is at least 0.9 of that without",
                lambda runs: ratio(runs, "locks", True, False) >= 0.9,  # noqa: PLR2004 - as above
            ),
        ),
    ),
    Scenario(
        "hot-id",
        "What does one id cost that a large share of all events go to?",
        _of(
            "hot_share",
            (0.0, 0.05, 0.2, 0.5, 1.0),
            lambda n, e: Spec(workload=_bulk(e, source=SYNTHETIC, hot_share=n)),
        ),
    ),
    Scenario(
        "disorder",
        "What do late events and copies cost, and is everything right afterwards?",
        lambda events: [
            (
                {"late": share, "duplicates": share},
                Spec(workload=_bulk(events, late=share, duplicates=share), judged=True),
            )
            for share in (0.0, 0.05, 0.2, 0.5)
        ],
        criteria=(SOUND,),
    ),
    Scenario(
        "payloads",
        "What do large payloads cost?",
        _of(
            "payload_bytes",
            (200, 2_000, 20_000, 200_000, 1_000_000),
            lambda n, e: Spec(
                workload=_bulk(
                    max(100, min(e, 400_000_000 // int(n))), source=SYNTHETIC, payload_bytes=n
                )
            ),
        ),
    ),
    Scenario(
        "kills",
        "What do workers cost that are killed while they work?",
        _of(
            "kill_every",
            (0.0, 10.0, 3.0),
            lambda n, e: Spec(workload=_bulk(e), kill_every=float(n) or None, judged=True),
        ),
        criteria=(SOUND,),
    ),
    Scenario(
        "soak",
        "Do memory and latency stay as they are over a long time?",
        lambda events: [
            (
                {"per_second": 100},
                Spec(workload=_bulk(events), load=Load.OPEN, per_second=100, judged=True),
            )
        ],
        events=30_000,
        criteria=(SOUND,),
    ),
    Scenario(
        "peers",
        "How many times as fast as other queues, and how near to the limit, on the same work?",
        _of_peers,
        events=20_000,
        measure=peers.measure,
    ),
    Scenario(
        "rescue",
        "How soon is done what a killed worker held?",
        _once,
        events=20_000,
        criteria=(
            Criterion("within 30 s", lambda runs: _most(runs, "rescued_after_s") <= 30),  # noqa: PLR2004
        ),
        measure=rescue,
    ),
    Scenario(
        "verify",
        "Does a verification find all that was corrupted, and nothing else, and put it right?",
        _once,
        criteria=(
            Criterion("what was planted is found, and nothing else", _found_exactly),
            Criterion(
                "and nothing is wrong afterwards", lambda r: not _most(r, "wrong_afterwards")
            ),
        ),
        measure=verify,
    ),
    Scenario(
        "beside",
        "What does a verification of everything cost live events?",
        _once,
        measure=beside,
    ),
    Scenario(
        "replay",
        "How many events a second does a replay in memory make on one core?",
        _replays,
        criteria=(
            Criterion("at least 100,000", lambda runs: _least(runs, "replayed_per_s") >= 100_000),  # noqa: PLR2004
        ),
        measure=replaying,
    ),
    Scenario(
        "redis",
        "What does an event take in Redis while it waits?",
        _once,
        events=50_000,
        measure=redis_memory,
    ),
)
