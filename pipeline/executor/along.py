"""Observers that a small fold takes along: run in its transaction, as a batch of their own.

A commit costs MongoDB as much as all that is written for a single event, so one commit less is
a good part of its way. Whatever is out of the ordinary ends it: then the fold is run alone, and
its observers follow in a transaction of their own, of which no fault undoes the fold.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.declarations import Fold, Handler, Observer
from pipeline.executor.course import Along, Course, Planned
from pipeline.executor.deriving import plan_observer
from pipeline.registry import SIBLINGS, Registry
from pipeline.store import Batch


def siblings(observers: Sequence[Observer], events: Sequence[str]) -> Batch:
    """The batch of sibling observers on these events."""
    names = SIBLINGS.join(observer.name for observer in observers)
    return Batch.of(names, events, observers[0].lane)


def companions(
    registry: Registry, handlers: Sequence[Handler], batches: Sequence[Batch], most: int
) -> Sequence[Observer]:
    """The observers that a run takes along: of a fold on few events that nothing has befallen.

    Args:
        registry: who observes whom.
        handlers: what is run.
        batches: on what.
        most: events that are few.
    """
    if not isinstance(handlers[0], Fold) or any(one.attempt or one.deaths for one in batches):
        return ()
    few = sum(len(batch.events) for batch in batches) <= most
    return registry.observers_of(handlers[0]) if few else ()


def take_along(course: Course, planned: Planned) -> Planned:
    """Plan the observers of the fold with it, unless they are better run after it.

    They are, where an event is out of order, since its fold corrects what others counted, and
    where one of the observers fails, since that is no fault of the fold.
    """
    if not course.companions:
        return planned
    (plan,) = planned.plans.values()
    in_order = all(result.disorder is None for result in plan.results.values())
    if not (plan.results and in_order):
        return planned
    records = {event: course.seen.records[event] for event in plan.results}
    plans = {
        observer: plan_observer(planned.transitions, observer, records)
        for observer in course.companions
    }
    if any(one.faults for one in plans.values()):
        return planned
    along = Along(siblings(course.companions, list(plan.results)), plans)
    return planned._replace(along=along)
