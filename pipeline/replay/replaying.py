"""The sequential run: every event once, in its order, through every handler it goes to."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from operator import attrgetter

from pipeline.declarations import Action
from pipeline.event import Event
from pipeline.registry import Registry
from pipeline.replay.running import Run, run_of
from pipeline.replay.tables import Tables


def replay(registry: Registry, events: Iterable[Event]) -> Tables:
    """Run events through the handlers as if each had come once and in its order.

    Args:
        registry: the handlers.
        events: in the order of their submission, which tells nothing but which one of several
            with the same key is the first: that one counts. Payloads are as JSON gives them.
            Events that were refused on submission are not to be among them.

    Returns:
        What a live run of the same events has in its tables in the end, but for the times of
        its runs; see `compare`. A handler that raises for an event, or returns what can't be
        used, has no effect for it, nor has any handler below; that is among the failures.
        All of it is in memory: the tables, and the events until they have been run.

    Raises:
        UnknownHandler: an action is of a kind that can't be run.
    """
    tables = Tables(registry)
    first: dict[str, Event] = {}
    submitted = 0
    for event in events:
        submitted += 1
        first.setdefault(event.key, event)
    tables.events = len(first)
    tables.repeated = submitted - len(first)
    # The last one goes first, so that an event can go as soon as it was run.
    waiting = sorted(first.values(), key=attrgetter("order"), reverse=True)
    first.clear()
    runs = {a.name: run_of(a, registry, tables) for a in registry if isinstance(a, Action)}
    by_type: dict[str, list[Run]] = {}
    with _no_collections():
        while waiting:
            event = waiting.pop()
            chosen = by_type.get(event.type)
            if chosen is None:
                chosen = [runs[action.name] for action in registry.actions_for(event.type)]
                by_type[event.type] = chosen
            for run in chosen:
                run(event)
    return tables


@contextmanager
def _no_collections() -> Iterator[None]:
    """Keep Python from looking for cycles.

    There are none in what a replay keeps, and going through all of it again and again as it
    grows takes a quarter of the time. Cycles that handlers leave behind wait for the end.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            if not gc.get_freeze_count():
                # As if they had grown old: else the very next allocation goes through all that
                # the replay has made, which takes a tenth of its time.
                gc.freeze()
                gc.unfreeze()
            gc.enable()
