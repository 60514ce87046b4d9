"""What was counted, as Prometheus is told it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate, product
from typing import Final, TypeVar

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

from pipeline.metrics.catalogue import CATALOGUE, Counter, Histogram, Metric
from pipeline.metrics.counts import SEPARATOR, SUM, Labels

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
_BY_NAME: Final = {metric.name: metric for metric in CATALOGUE}
T = TypeVar("T")
Parts = dict[Labels, dict[str, float]]
Notes = dict[Labels, dict[str, str]]


def families(
    totals: Mapping[str, float],
    last: Mapping[str, str],
    known: Mapping[str, Sequence[str]],
    allowed: Callable[[str, str], bool],
) -> Iterator[Family]:
    """Every metric of the catalogue.

    A counter whose labels can be known is there from the start, with 0: else the first time it
    counts would be no increase.

    Args:
        totals: by field.
        last: last values and exemplars, by field.
        known: by label, the values that it has from the start.
        allowed: whether a label may have a value; what is left from handlers of old is not told.
    """
    counted = _by_metric(totals)
    noted = _by_metric(last)
    for metric in CATALOGUE:
        start = [metric.values.get(label) or known.get(label) for label in metric.labels]
        labels = set(product(*[values for values in start if values])) if all(start) else set()
        there = counted.get(metric.name, {}) if isinstance(metric, Counter | Histogram) else {}
        notes = noted.get(metric.name, {})
        for found in (there, notes):
            labels |= {one for one in found if _all_allowed(metric, one, allowed)}
        yield _family(metric, sorted(labels), there, notes)


def _family(metric: Metric, labels: Sequence[Labels], there: Parts, notes: Notes) -> Family:
    if isinstance(metric, Histogram):
        histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        for one in labels:
            buckets = _buckets(metric, there.get(one, {}), notes.get(one, {}))
            histogram.add_metric(one, buckets, there.get(one, {}).get(SUM, 0.0))
        return histogram
    if isinstance(metric, Counter):
        counter = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
        for one in labels:
            counter.add_metric(one, there.get(one, {}).get("", 0))
        return counter
    gauge = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    for one in labels:
        if one in notes:
            gauge.add_metric(one, float(notes[one][""]))
    return gauge


def _buckets(
    metric: Histogram, there: Mapping[str, float], notes: Mapping[str, str]
) -> list[tuple[str, float] | tuple[str, float, Exemplar]]:
    """All buckets, each with those below it, and an event of its own to look at."""
    edges = [*map(floatToGoString, metric.edges), "+Inf"]
    up_to = accumulate(there.get(str(bucket), 0) for bucket in range(len(edges)))
    return [
        (edge, float(n), _exemplar(notes[str(bucket)]))
        if str(bucket) in notes
        else (edge, float(n))
        for bucket, (edge, n) in enumerate(zip(edges, up_to, strict=True))
    ]


def _exemplar(told: str) -> Exemplar:
    event, value, at = told.split(SEPARATOR)
    return Exemplar({"event": event}, float(value), float(at))


def _by_metric(fields: Mapping[str, T]) -> dict[str, dict[Labels, dict[str, T]]]:
    """By metric and labels, the parts: of a histogram bucket and sum, else one without a name."""
    found: dict[str, dict[Labels, dict[str, T]]] = defaultdict(lambda: defaultdict(dict))
    for field, value in fields.items():
        name, *rest = field.split(SEPARATOR)
        metric = _BY_NAME.get(name)
        if metric is None:
            continue
        size = len(metric.labels)
        found[name][tuple(rest[:size])][SEPARATOR.join(rest[size:])] = value
    return found


def _all_allowed(metric: Metric, labels: Labels, allowed: Callable[[str, str], bool]) -> bool:
    return len(labels) == len(metric.labels) and all(
        value in metric.values.get(label, ()) or allowed(label, value)
        for label, value in zip(metric.labels, labels, strict=True)
    )
