"""How the pipeline stands now, looked up in both servers, as Prometheus is told it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.core import Metric as Family

from pipeline import queue
from pipeline.settings import Settings
from pipeline.store.trouble import Waiting
from workers.bootstrap import Application


class Look(NamedTuple):
    """What one look has found.

    Attributes:
        at: when it was taken.
        redis: the lanes, the workers and Redis itself.
        since: by lane, since when its oldest batch waits for a worker or its end.
        pending: batches of the outbox, counted up to as many as may be.
        due_at: since when the most overdue batch is, which no job stands for; None for none.
        trouble: events in trouble.
    """

    at: datetime
    redis: queue.Standing
    since: Mapping[str, datetime]
    pending: int
    due_at: datetime | None
    trouble: list[Waiting]


def look(app: Application) -> Look:
    """Look; changes nothing, and takes a few milliseconds however much is stored.

    Raises:
        redis.RedisError, pymongo.errors.PyMongoError: a server is away.
    """
    now, records = app.clock.now(), app.store.records
    lanes = queue.standing(app.redis)
    heads = [lane.head for lane in lanes.lanes.values() if lane.head is not None]
    started = [batch for lane in lanes.lanes.values() for batch in lane.started]
    overdue = records.batches.oldest([*heads, *started], now)
    since = {lane: one.head_since for lane, one in lanes.lanes.items() if one.head_since}
    for lane, moment in overdue.since.items():
        since[lane] = min(moment, since.get(lane, moment))
    return Look(
        at=now,
        redis=lanes,
        since=since,
        pending=records.batches.count_pending(app.settings.max_pending + 1),
        due_at=overdue.due_at,
        trouble=records.trouble.standing(),
    )


def told(look: Look, settings: Settings, now: datetime) -> Iterator[Family]:
    """A look as metrics; ages go on after it, so they are right even where no look succeeds."""
    yield from _lanes(look, now)
    yield _gauge("pipe_workers", "Live workers.", ["state"], look.redis.workers)
    yield from _outbox(look, settings, now)
    yield from _trouble(look, now)
    memory = look.redis.memory
    yield GaugeMetricFamily(
        "pipe_redis_used_memory_bytes", "Memory that Redis uses.", value=memory.used
    )
    yield GaugeMetricFamily(
        "pipe_redis_max_memory_bytes", "Most that Redis may use; 0: no limit.", value=memory.most
    )
    yield CounterMetricFamily(
        "pipe_redis_evicted_keys", "Keys that Redis threw away; must stay 0.", value=memory.evicted
    )


def _lanes(look: Look, now: datetime) -> Iterator[Family]:
    jobs = GaugeMetricFamily(
        "pipe_lane_jobs", "Jobs in each registry of RQ.", labels=["lane", "state"]
    )
    for lane, one in look.redis.lanes.items():
        for state, n in one.jobs.items():
            jobs.add_metric([lane, state], n)
    yield jobs
    ages = {
        lane: _age(look.since[lane], now) if lane in look.since else 0.0
        for lane in look.redis.lanes
    }
    yield _gauge(
        "pipe_lane_oldest_batch_age_seconds",
        "Age of the oldest batch that waits for a worker or is being run; 0 where none is.",
        ["lane"],
        ages,
    )
    yield _gauge(
        "pipe_lane_orphaned_batches",
        "Batches that are started and whose workers live no more; the sweeper takes them back.",
        ["lane"],
        {lane: one.orphaned for lane, one in look.redis.lanes.items()},
    )


def _outbox(look: Look, settings: Settings, now: datetime) -> Iterator[Family]:
    yield GaugeMetricFamily(
        "pipe_outbox_pending_batches", "Batches still to be done.", value=look.pending
    )
    yield GaugeMetricFamily(
        "pipe_outbox_max_batches",
        "Pending batches above which nothing is taken in.",
        value=settings.max_pending,
    )
    yield GaugeMetricFamily(
        "pipe_outbox_overdue_seconds",
        "For how long the most overdue batch has waited for the sweeper; 0 where none does.",
        value=0.0 if look.due_at is None else _age(look.due_at, now),
    )


def _trouble(look: Look, now: datetime) -> Iterator[Family]:
    events = GaugeMetricFamily(
        "pipe_trouble_events",
        "Events that are retrying, snoozed, held back or dead.",
        labels=["handler", "state"],
    )
    oldest = GaugeMetricFamily(
        "pipe_trouble_oldest_age_seconds",
        "Since when the oldest of them is in that state.",
        labels=["handler", "state"],
    )
    for one in look.trouble:
        events.add_metric([one.handler, one.state], one.events)
        oldest.add_metric([one.handler, one.state], _age(one.oldest, now))
    yield events
    yield oldest


def _gauge(name: str, text: str, labels: list[str], values: Mapping[str, float]) -> Family:
    family = GaugeMetricFamily(name, text, labels=labels)
    for label, value in values.items():
        family.add_metric([label], value)
    return family


def _age(moment: datetime, now: datetime) -> float:
    return max(0.0, (now - moment).total_seconds())
