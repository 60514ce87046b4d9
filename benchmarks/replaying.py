"""The sequential run in memory: events a second on one core.

CPU time of this process is what counts, and of several runs the fastest: other work on the
machine can only add to it. Reading events, running them and comparing tables are measured
apart; so are the handlers' functions alone, which no run of them can be faster than.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, Final, TypeVar

from benchmarks.bench import Bench, plain
from benchmarks.product import Told
from benchmarks.spec import Spec
from benchmarks.workload import in_order
from pipeline import Change, Event, State
from pipeline.declarations import Fold
from pipeline.event import parse_event
from pipeline.registry import Registry, load
from pipeline.replay import compare, replay
from pipeline.tables import as_stored

SKEW: Final = timedelta(days=1)
TIMES: Final = 3

T = TypeVar("T")


def replaying(bench: Bench, spec: Spec, told: Told) -> dict[str, Any]:
    """Events through the handlers in memory."""
    began_at, started = datetime.now(UTC), time.monotonic()
    registry = load(bench.settings.handlers)
    lines = [event.model_dump_json() for event in in_order(spec.workload)]
    told("running in memory", len(lines))
    figures = _figures(registry, lines)
    seconds = time.monotonic() - started
    return plain(spec, began_at, len(lines), seconds) | {"figures": figures}


def _figures(registry: Registry, lines: list[str]) -> dict[str, float]:
    now = datetime.now(UTC)
    seconds: dict[str, list[float]] = {}

    def timed(what: str, work: Callable[[], T]) -> T:
        begun = time.process_time()
        done = work()
        seconds.setdefault(what, []).append(time.process_time() - begun)
        return done

    for _ in range(TIMES):
        events = timed("parsed", lambda: [parse_event(x, now=now, max_skew=SKEW) for x in lines])
        tables = timed("replayed", lambda: replay(registry, events))  # noqa: B023 - run at once
        live = {name: [as_stored(d) for _, d in tables[name].entries()] for name in tables}
        timed("compared", lambda: compare(tables, live))  # noqa: B023 - as above
        events.sort(key=attrgetter("order"))
        timed("handlers_alone", lambda: _handlers_alone(registry, events))  # noqa: B023 - as above
    return {f"{what}_per_s": round(len(lines) / min(all_)) for what, all_ in seconds.items()}


def _handlers_alone(registry: Registry, events: list[Event]) -> None:
    """Call the functions that an event goes through, and do nothing with what they return."""
    folds: list[tuple[Callable[..., Any], dict[tuple[str, str], State], list[Any]]] = [
        (fold.function, {}, [observer.function for observer in registry.observers_below(fold)])
        for fold in registry
        if isinstance(fold, Fold)
    ]
    for event in events:
        about = event.tenant, event.entity_id
        for function, states, observers in folds:
            before = states.get(about)
            after = states[about] = function(before, event)
            change = Change(before, after)
            for observe in observers:
                observe(change, event)
