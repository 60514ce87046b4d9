"""Counting what is submitted, once for each call and each part of it."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from pipeline.clock import Clock
from pipeline.errors import Overloaded, Unavailable
from pipeline.event import Event, tenant_of
from pipeline.metrics.catalogue import (
    INTAKE_EVENTS,
    LAST_RECEIVED,
    OTHER,
    SOURCE_LAG,
    SUBMISSION_SECONDS,
    SUBMISSIONS,
)
from pipeline.metrics.counts import Counts

EDGES: Final = [timedelta(seconds=edge) for edge in SOURCE_LAG.edges]


class Submissions:
    """Counts what is submitted.

    Args:
        counts: where it is counted.
        clock: for durations.
        tenants: those that are told apart.
    """

    def __init__(self, counts: Counts, clock: Clock, tenants: Collection[str]) -> None:
        self._counts = counts
        self._clock = clock
        self._tenants = frozenset(tenants)

    @contextmanager
    def call(self) -> Iterator[None]:
        """Count a call, by how it ends, and how long it took."""
        begun, outcome = self._clock.monotonic(), "stored"
        try:
            yield
        except Overloaded:
            outcome = "overloaded"
            raise
        except Unavailable:
            outcome = "unavailable"
            raise
        finally:
            seconds = self._clock.monotonic() - begun
            self._counts.add(SUBMISSIONS, (outcome,))
            self._counts.observe(SUBMISSION_SECONDS, [(seconds, 1)])

    def accepted(self, events: Sequence[Event], now: datetime) -> None:
        """Count events that are stored now."""
        tenants = [event.tenant for event in events]
        self._by_tenant("accepted", tenants)
        self._counts.observe(SOURCE_LAG, _grouped([now - event.occurred_at for event in events]))
        for tenant in self._tenants.intersection(tenants):
            self._counts.note(LAST_RECEIVED, now.timestamp(), (tenant,))

    def turned_away(self, duplicates: Sequence[str], conflicts: Sequence[str]) -> None:
        """Count copies, by their event keys."""
        self._by_tenant("duplicate", [tenant_of(key) for key in duplicates])
        self._by_tenant("conflict", [tenant_of(key) for key in conflicts])

    def rejected(self, events: Sequence[Event]) -> None:
        """Count events that can't be accepted."""
        self._by_tenant("rejected", [event.tenant for event in events])

    def _by_tenant(self, outcome: str, tenants: Sequence[str]) -> None:
        for tenant, n in Counter(tenants).items():
            label = tenant if tenant in self._tenants else OTHER
            self._counts.add(INTAKE_EVENTS, (label, outcome), n)


def _grouped(lags: list[timedelta]) -> Iterator[tuple[float, int]]:
    """The mean of the lags between each two edges in seconds, and how many there are.

    Taken together by sorting, since there are hundreds in a call and few edges.
    """
    lags.sort()
    ends = [0, *(bisect_right(lags, edge) for edge in EDGES), len(lags)]
    for begin, end in pairwise(ends):
        if end > begin:
            total = sum(lags[begin:end], timedelta()).total_seconds()
            yield max(0.0, total / (end - begin)), end - begin
