"""The counts of one process, until they are sent."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from math import isfinite
from typing import Final, NamedTuple

from pipeline.metrics.catalogue import Counter, Gauge, Histogram

SEPARATOR: Final = "\x1f"
"""Between the parts of a field; in no name and no label."""
SUM: Final = "s"
"""Names the field of a histogram's sum: of old events the lags alone come to many centuries, so
it is no whole number."""
REMEMBERED: Final = 1_000
"""Names of fields kept at hand."""
LONGEST_EXEMPLAR: Final = 100
"""Characters of an event's key; OpenMetrics allows 128 for the names and values together."""

Labels = tuple[str, ...]


class Exemplar(NamedTuple):
    """One event of many, to look at.

    Attributes:
        event: its key.
        value: what was seen of it.
        at: when, in seconds since 1970.
    """

    event: str
    value: float
    at: float


class Taken(NamedTuple):
    """What was counted since it was last taken.

    Attributes:
        added: by field, how much more.
        noted: by field, the last value; of an exemplar event, value and time.
    """

    added: Mapping[str, int | float]
    noted: Mapping[str, str]

    def __bool__(self) -> bool:
        return bool(self.added or self.noted)


class Counts:
    """Counts of one process; safe among threads, and cheap: an addition to a dictionary each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._added: defaultdict[str, int | float] = defaultdict(int)
        self._noted: dict[str, str] = {}

    def add(self, metric: Counter, labels: Labels = (), n: int = 1) -> None:
        """Count n more."""
        if n:
            with self._lock:
                self._added[field_of(metric.name, labels)] += n

    def observe(
        self, metric: Histogram, values: Iterable[tuple[float, int]], labels: Labels = ()
    ) -> None:
        """Count values, each with how often it was seen."""
        edges, total = metric.edges, 0.0
        *buckets, sum_of = fields_of(metric.name, labels, len(edges) + 1)
        with self._lock:
            added = self._added
            for value, times in values:
                added[buckets[bisect_left(edges, value)]] += times
                total += value * times
            if total and isfinite(total):
                added[sum_of] += float(total)

    def exemplify(self, metric: Histogram, exemplar: Exemplar, labels: Labels = ()) -> None:
        """Note an event for the bucket that it falls into; the last one stays."""
        if len(exemplar.event) > LONGEST_EXEMPLAR:
            return
        fields = fields_of(metric.name, labels, len(metric.edges) + 1)
        told = f"{exemplar.event}{SEPARATOR}{exemplar.value:.3f}{SEPARATOR}{exemplar.at:.3f}"
        with self._lock:
            self._noted[fields[bisect_left(metric.edges, exemplar.value)]] = told

    def note(self, metric: Gauge, value: float, labels: Labels = ()) -> None:
        """Note the present value of a gauge."""
        with self._lock:
            self._noted[field_of(metric.name, labels)] = f"{value:.3f}"

    def take(self) -> Taken:
        """What was counted since this was last called; from now on it is the caller's."""
        with self._lock:
            taken = Taken(self._added, self._noted)
            self._added, self._noted = defaultdict(int), {}
        return taken

    def give_back(self, taken: Taken) -> None:
        """Count again what was taken and could not be sent."""
        with self._lock:
            for name, n in taken.added.items():
                self._added[name] += n
            self._noted = {**taken.noted, **self._noted}


@lru_cache(maxsize=REMEMBERED)
def field_of(name: str, labels: Labels) -> str:
    """Where a metric with these labels is kept."""
    return SEPARATOR.join((name, *labels))


@lru_cache(maxsize=REMEMBERED)
def fields_of(name: str, labels: Labels, buckets: int) -> list[str]:
    """Where the buckets of a histogram are kept, and at the end where its sum is."""
    return [SEPARATOR.join((name, *labels, part)) for part in (*map(str, range(buckets)), SUM)]
