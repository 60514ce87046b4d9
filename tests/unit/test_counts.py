"""Counting: nothing is lost or doubled on the way, and labels stay bounded."""

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric as Family
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from pipeline.metrics import CATALOGUE, Counts, Exemplar, Histogram
from pipeline.metrics.catalogue import (
    E2E_EDGES,
    EVENT_E2E,
    EVENTS,
    LAST_RECEIVED,
    error_label,
)
from pipeline.metrics.families import families

KNOWN = {"handler": ["a.b"], "lane": ["actions"], "tenant": ["acme", "_other"]}


class Told(Collector):
    """What was counted, as a process would tell it."""

    def __init__(self, counts: Counts) -> None:
        self._taken = counts.take()

    def collect(self) -> Iterator[Family]:
        """All of it."""
        added, noted = self._taken
        yield from families(added, noted, KNOWN, lambda label, value: value in KNOWN.get(label, ()))


def read(counts: Counts) -> dict[str, Family]:
    """What a reader of OpenMetrics makes of it, by name."""
    registry = CollectorRegistry()
    registry.register(Told(counts))
    text = generate_latest(registry).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def values(family: Family) -> dict[tuple[str, ...], float]:
    """Values by name of the sample and labels."""
    return {(s.name, *sorted(s.labels.values())): s.value for s in family.samples}


@given(st.lists(st.tuples(st.floats(0, 1e5, allow_subnormal=False), st.integers(1, 9)), max_size=9))
def test_each_bucket_holds_what_is_up_to_its_edge(seen: list[tuple[float, int]]) -> None:
    """Counted here by comparing every value with every edge."""
    counts = Counts()
    counts.observe(EVENT_E2E, seen, ("a.b",))
    told = {
        (s.name, s.labels.get("le")): s.value
        for s in read(counts)["pipe_event_e2e_seconds"].samples
    }
    for edge in E2E_EDGES:
        expected = sum(times for value, times in seen if value <= edge)
        assert told["pipe_event_e2e_seconds_bucket", str(edge)] == expected
    assert told["pipe_event_e2e_seconds_count", None] == sum(times for _, times in seen)
    total = sum(value * times for value, times in seen)
    assert told["pipe_event_e2e_seconds_sum", None] == pytest.approx(total, abs=1e-5)


def test_what_can_be_known_is_there_with_zero_from_the_start() -> None:
    """Else the first failure would be no increase."""
    told = values(read(Counts())["pipe_events"])
    assert told["pipe_events_total", "a.b", "dead"] == 0
    assert len(told) == 8


def test_labels_that_are_not_allowed_are_not_told() -> None:
    """Such as handlers of old, and whatever else somebody writes into Redis."""
    counts = Counts()
    counts.add(EVENTS, ("gone.away", "done"), 3)
    counts.add(EVENTS, ("a.b", "done"), 2)
    counts.add(EVENTS, ("too", "many", "labels"), 2)
    told = values(read(counts)["pipe_events"])
    assert told["pipe_events_total", "a.b", "done"] == 2
    assert not any("gone.away" in labels or "many" in labels for labels in told)


def test_an_event_to_look_at_goes_with_its_bucket() -> None:
    """One whose key is too long for OpenMetrics is left out."""
    counts = Counts()
    for seconds, event in ((40.0, "e1@acme/shop"), (2.0, "e" * 120)):
        counts.observe(EVENT_E2E, [(seconds, 1)], ("a.b",))
        counts.exemplify(EVENT_E2E, Exemplar(event, seconds, 1e9), ("a.b",))
    told = {
        s.labels["le"]: s.exemplar
        for s in read(counts)["pipe_event_e2e_seconds"].samples
        if "le" in s.labels
    }
    assert told["60.0"] is not None
    assert told["60.0"].labels == {"event": "e1@acme/shop"}
    assert told["60.0"].value == 40.0
    assert told["2.5"] is None


def test_what_could_not_be_sent_is_counted_again_and_later_notes_stay() -> None:
    """Nothing is lost while Redis is away, and no old value comes back."""
    counts = Counts()
    counts.add(EVENTS, ("a.b", "done"), 2)
    counts.note(LAST_RECEIVED, 1.0, ("acme",))
    taken = counts.take()
    assert not counts.take()
    counts.add(EVENTS, ("a.b", "done"), 3)
    counts.note(LAST_RECEIVED, 2.0, ("acme",))
    counts.give_back(taken)
    told = read(counts)
    assert values(told["pipe_events"])["pipe_events_total", "a.b", "done"] == 5
    name = "pipe_intake_last_received_timestamp_seconds"
    assert values(told[name]) == {(name, "acme"): 2.0}


def test_threads_that_count_at_once_lose_nothing() -> None:
    """Also while a third one sends."""
    counts, sent = Counts(), []

    def count() -> None:
        for _ in range(5_000):
            counts.add(EVENTS, ("a.b", "done"))

    threads = [threading.Thread(target=count) for _ in range(2)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        sent.append(counts.take())
    sent.append(counts.take())
    assert sum(n for taken in sent for n in taken.added.values()) == 10_000


def test_types_of_errors_are_told_apart_only_from_a_list() -> None:
    """An error made on the fly is one of the others."""
    assert error_label("ValueError") == "ValueError"
    assert error_label("Oops17") == "_other"


def test_the_catalogue_keeps_the_rules_of_names() -> None:
    """One prefix, base units, no label that grows, edges that rise, the objective among them."""
    assert len({metric.name for metric in CATALOGUE}) == len(CATALOGUE)
    for metric in CATALOGUE:
        assert metric.name.startswith("pipe_")
        assert not metric.name.endswith(("_total", "_count", "_ms"))
        assert not {"worker", "host", "pid", "event", "entity", "le"} & set(metric.labels)
        if isinstance(metric, Histogram):
            assert list(metric.edges) == sorted(set(metric.edges))
    assert 30.0 in EVENT_E2E.edges
