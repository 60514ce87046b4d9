"""The scenarios: each a question, the runs that answer it, and what counts as a pass.

A declaration only; `benchmarks.runner` makes the runs, and whoever wants another scenario adds
one to `SCENARIOS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks import product
from benchmarks.bars import (
    ALL_FOUND,
    AMONG_PEERS,
    AT_A_MILLION,
    CHEAP_LEASES,
    FLAT,
    ON_TIME,
    REPLAYED,
    RESCUED,
    SCALING,
    WORKERS,
)
from benchmarks.bench import Bench
from benchmarks.criteria import GIVEN_UP, SOUND, Criterion
from benchmarks.drift import beside, verify
from benchmarks.failing import Failing
from benchmarks.growing import growing
from benchmarks.guarantees import rescue
from benchmarks.peers import measure as peers
from benchmarks.peers.subjects import SUBJECTS, missing
from benchmarks.product import Told
from benchmarks.replaying import replaying
from benchmarks.results import Load, Value
from benchmarks.sources import shared
from benchmarks.spec import Spec
from benchmarks.waiting import redis_memory
from benchmarks.workload import FLIGHTS, SYNTHETIC, Workload

Labels = dict[str, Value]
Measure = Callable[[Bench, Spec, Told], dict[str, Any]]
Variants = Callable[[int], list[tuple[Labels, Spec]]]
"""From the number of events of a run to what the runs differ in, and the runs."""


NEVER: Final = 0.001
"""The share of events that never succeed, where handlers fail."""
SPAN: Final = 250_000
"""Events within which those of one entity come: a month, where five million are twenty."""


@dataclass(frozen=True)
class Scenario:
    """A question, and the runs that answer it.

    Attributes:
        name: one word or two, joined by a hyphen.
        question: what is to be known.
        variants: the runs, of which all are made once before any is made again.
        events: of a run, unless told otherwise.
        criteria: what counts as a pass.
        own_events: it is about events that its handlers know, and takes no others.
        measure: makes a run; returns the fields of a `Run` but for those that say of which
            scenario it is.
    """

    name: str
    question: str
    variants: Variants
    events: int = 40_000
    criteria: Sequence[Criterion] = field(default_factory=tuple)
    own_events: bool = False
    measure: Measure = product.measure


def _of(label: str, values: Sequence[Value], make: Callable[[Value, int], Spec]) -> Variants:
    return lambda events: [({label: value}, make(value, events)) for value in values]


def _bulk(events: int, **workload: Value) -> Workload:
    source = str(workload.pop("source", FLIGHTS))
    return Workload.model_validate({"source": source, "events": events, **workload})


def _rate(value: Value, events: int) -> Spec:
    rate = float(value)
    seconds = max(2.0, events / 2_000)
    workload = Workload(events=max(100, int(rate * seconds)))
    return Spec(workload=workload, load=Load.OPEN, per_second=rate, workers=WORKERS)


def _rates(events: int) -> list[tuple[Labels, Spec]]:
    """Some rates; one of them with fewer and with more workers too, which says what these cost."""
    slow, middle, fast = (_rate(rate, events) for rate in (50, 200, 1_000))
    # Who has the usual number has no label for it: so it still compares with earlier results.
    return [
        ({"per_second": 50}, slow),
        ({"per_second": 200, "workers": 1}, middle.model_copy(update={"workers": 1})),
        ({"per_second": 200}, middle),
        ({"per_second": 200, "workers": 4}, middle.model_copy(update={"workers": 4})),
        ({"per_second": 1_000}, fast),
    ]


def _once(events: int) -> list[tuple[Labels, Spec]]:
    return [({}, Spec(workload=_bulk(events)))]


def _growths(events: int) -> list[tuple[Labels, Spec]]:
    """With an entity's events anywhere, the worst that can happen to a cache, and near together."""
    kinds: list[Labels] = [{}, {"span": min(SPAN, events)}]
    return [
        (kind, Spec(workload=_bulk(events, source=SYNTHETIC, tenants=20, **kind))) for kind in kinds
    ]


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
        _rates,
        criteria=ON_TIME,
    ),
    Scenario(
        "workers",
        "How does throughput grow with workers?",
        _of("workers", (1, 2, 3, 4, 6, 8), lambda n, e: Spec(workload=_bulk(e), workers=int(n))),
        criteria=SCALING,
    ),
    Scenario(
        "events",
        "Does an event cost as much when millions are stored?",
        _of(
            "stored",
            (0, 100_000, 1_000_000),
            lambda n, e: Spec(workload=_bulk(e), stored=int(n)),
        ),
        criteria=AT_A_MILLION,
    ),
    Scenario(
        "growth",
        "Does an event cost as much when 5 million are stored, and when a million wait?",
        _growths,
        events=5_000_000,
        criteria=FLAT,
        measure=growing,
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
        criteria=CHEAP_LEASES,
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
                Spec(
                    workload=_bulk(events, late=share, duplicates=share),
                    judged=True,
                    by_batch=True,
                ),
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
        "failures",
        "What do handlers cost that fail, and is exactly that given up which can't succeed?",
        _of(
            "failure_rate",
            (0.0, 0.02, 0.1, 0.3),
            lambda n, e: Spec(
                workload=_bulk(e), failing=Failing(rate=n, permanent=NEVER), judged=True
            ),
        ),
        events=20_000,
        criteria=(GIVEN_UP,),
        own_events=True,
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
        criteria=AMONG_PEERS,
        own_events=True,
        measure=peers.measure,
    ),
    Scenario(
        "rescue",
        "How soon is done what a killed worker held?",
        _once,
        events=20_000,
        criteria=RESCUED,
        measure=rescue,
    ),
    Scenario(
        "verify",
        "Does a verification find all that was corrupted, and nothing else, and put it right?",
        _once,
        criteria=ALL_FOUND,
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
        criteria=REPLAYED,
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
