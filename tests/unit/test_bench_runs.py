"""Which runs are made in which order, what counts as a pass, and what is told of them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from benchmarks import product
from benchmarks.criteria import judged, label, nothing_lost, ratios
from benchmarks.measuring.cost import difference
from benchmarks.measuring.latency import percentiles_of
from benchmarks.results import Cost, Latency, Load, Reliability, Result, Run
from benchmarks.runner import steps
from benchmarks.scenarios import SCENARIOS
from benchmarks.selecting import Selection, UnfitSelectionError
from benchmarks.spec import Spec
from benchmarks.summary import lines, misses
from benchmarks.workload import Workload
from tests.made_up_results import result, run

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


def test_all_variants_are_run_before_any_is_run_again_and_every_other_round_backwards() -> None:
    """So that whoever is first is not always the same."""
    todo = steps([BY_NAME["locks"]], repeat=3, events=500)
    found = [(step.repeat, step.labels["locks"]) for step in todo]
    assert found == [(1, True), (1, False), (2, False), (2, True), (3, True), (3, False)]
    assert {step.spec.workload.events for step in todo} == {500}


def test_a_file_is_sent_instead_of_flights_and_the_runs_say_so() -> None:
    """Events that are made up for a question are not replaced, nor those of certain handlers."""
    chosen = [BY_NAME[name] for name in ("disorder", "hot-id", "peers", "failures")]
    todo = steps(chosen, repeat=1, events=500, data=Path("there/traffic.ndjson.gz"))
    sent = {
        (step.scenario.name, step.spec.workload.source, step.labels.get("data")) for step in todo
    }
    assert sent == {
        ("disorder", "there/traffic.ndjson.gz", "traffic.ndjson.gz"),
        ("hot-id", "synthetic", None),
        ("peers", "flights", None),
        ("failures", "flights", None),
    }
    late = [step.spec.workload.late for step in todo if step.scenario.name == "disorder"]
    assert late == [0.0, 0.05, 0.2, 0.5]


def test_scenarios_have_names_of_their_own_and_runs_that_differ() -> None:
    """A label tells each of a scenario's runs from the others."""
    assert len(BY_NAME) == len(SCENARIOS)
    for scenario in SCENARIOS:
        runs = [f"{labels} {spec.subject}" for labels, spec in scenario.variants(scenario.events)]
        assert len(set(runs)) == len(runs), scenario.name


def test_an_open_load_needs_a_rate_and_no_other_has_one() -> None:
    """A spec that says neither what it means is refused."""
    with pytest.raises(ValidationError, match="rate"):
        Spec(load=Load.OPEN)
    with pytest.raises(ValidationError, match="rate"):
        Spec(per_second=3)


def test_a_ratio_is_that_of_runs_made_side_by_side() -> None:
    """The machine was half as fast in the second round, and for both alike."""
    runs = [
        run(repeat=repeat, variant={"workers": n}, seconds=seconds)
        for repeat, n, seconds in ((1, 1, 2.0), (1, 2, 1.0), (2, 1, 4.0), (2, 2, 2.5), (3, 2, 9.0))
    ]
    assert ratios(runs, label("workers"), 2, 1) == [2.0, 1.6]


@pytest.mark.parametrize("kind", ["lost", "doubled", "wrong", "dead"])
def test_one_event_lost_doubled_or_spoilt_is_no_pass(kind: str) -> None:
    """And what was not looked at is not held against it."""
    assert nothing_lost(run(reliability=Reliability(lost=0)))
    assert not nothing_lost(run(reliability=Reliability(**{kind: 1})))


def test_what_cannot_succeed_is_to_be_given_up_and_nothing_else() -> None:
    """One fewer is as wrong as one more."""
    for dead, sound in ((4, False), (5, True), (6, False)):
        given_up = run(scenario="failures", reliability=Reliability(dead=dead, doomed=5))
        (found,) = judged(BY_NAME["failures"].criteria, [given_up])
        assert found.passed is sound


def test_only_the_variant_that_missed_a_criterion_is_said_to_have() -> None:
    """Others have met theirs, or were asked for nothing."""
    seconds = {1: 2.0, 2: 1.5, 4: 1.0}
    runs = [
        run(scenario="workers", variant={"workers": n}, workers=n, repeat=repeat, seconds=each)
        for repeat in (1, 2)
        for n, each in seconds.items()
    ]
    found = list(judged(BY_NAME["workers"].criteria, runs))
    assert [(one.workers, one.passed) for one in found] == [(1, None), (2, False), (4, None)] * 2
    (missed,) = misses(found)
    assert missed[:2] == ("workers", "workers 2")
    assert "1.6 times" in missed.words
    assert missed[3:] == (2, 2)
    assert {line.what for line in lines(found) if line.missed} == {"workers 2"}


def test_a_run_is_judged_by_what_is_asked_of_it() -> None:
    """Of the rates each has a bar of its own, and runs with other workers have none."""

    def timed(rate: float, p99: float, workers: int = 2) -> Run:
        times = Latency(end_to_end=percentiles_of([p99] * 3))
        return run(
            scenario="rates", load=Load.OPEN, workers=workers, offered_per_second=rate,
            latency=times,
        )  # fmt: skip

    runs = [timed(50, 900), timed(200, 49), timed(200, 51), timed(1000, 199), timed(200, 900, 1)]
    found = list(judged(BY_NAME["rates"].criteria, runs))
    assert [one.passed for one in found] == [None, True, False, True, None]
    assert [bool(one.missed) for one in found] == [False, False, True, False, False]


def test_a_run_of_ours_is_held_against_the_peers_that_were_run() -> None:
    """Those of the same round, in bulk; what was not run is not held against it."""
    rates = {"pipeline": 3000, "bullmq": 199, "limit": 4000, "celery": 5000}
    runs = [
        run(
            rate * speed, scenario="peers", subject=subject, repeat=repeat, variant={"load": "bulk"}
        )
        for repeat, speed in ((1, 1.0), (2, 0.5), (3, 0.8))
        for subject, rate in rates.items()
    ]
    found = {one.subject: one for one in judged(BY_NAME["peers"].criteria, runs)}
    assert [found[name].passed for name in rates] == [True, None, None, None]
    slow = [one for one in runs if one.subject != "limit"]
    slow += [run(9000, scenario="peers", subject="limit", repeat=n) for n in (1, 2, 3)]
    (missed, *_) = judged(BY_NAME["peers"].criteria, slow)
    assert missed.missed == ["at least 0.7 of the limit"]


@pytest.mark.parametrize(
    ("p50", "p99", "sooner"), [(10, 40, True), (10.1, 40, False), (10, 41, False)]
)
def test_single_events_take_at_most_half_the_time_of_a_peers(
    p50: float, p99: float, *, sooner: bool
) -> None:
    """At the median and of the slowest hundredth; by medians of the rounds."""

    def timed(subject: str, p50: float, p99: float) -> Run:
        times = percentiles_of([1.0]).model_copy(update={"p50": p50, "p99": p99})
        return run(
            scenario="peers", subject=subject, load=Load.OPEN, offered_per_second=50,
            latency=Latency(end_to_end=times),
        )  # fmt: skip

    theirs = [timed("bullmq", *times) for times in ((20, 80), (19, 500), (500, 70))]
    ours = [timed("pipeline", p50, p99) for _ in theirs]
    found = list(judged(BY_NAME["peers"].criteria, [*theirs, *ours]))
    assert {one.passed for one in found if one.subject == "pipeline"} == {sooner}
    assert {one.passed for one in found if one.subject == "bullmq"} == {None}


def test_a_rate_with_more_left_than_comes_in_a_second_does_not_keep_up() -> None:
    """What is under way when the last one is sent is no backlog."""
    times = Latency(end_to_end=percentiles_of([1.0]))
    runs = [
        run(
            scenario="rates", load=Load.OPEN, offered_per_second=1000, latency=times,
            backlog=backlog, repeat=backlog,
        )
        for backlog in (999, 1000)
    ]  # fmt: skip
    assert [one.passed for one in judged(BY_NAME["rates"].criteria, runs)] == [True, False]


def test_runs_are_chosen_by_label_subject_load_and_workers() -> None:
    """Each name with any of its values; names together."""

    def chosen(scenario: str, *texts: str) -> list[str]:
        only = Selection.parsed(texts)
        todo = steps([BY_NAME[scenario]], repeat=1, events=100, only=only)
        return [f"{step.spec.subject} {step}" for step in todo]

    assert chosen("locks", "locks=no") == ["pipeline locks 1: locks False"]
    assert chosen("rates", "per_second=200", "workers=2,4") == [
        "pipeline rates 1: per_second 200",
        "pipeline rates 1: per_second 200, workers 4",
    ]
    assert chosen("peers", "subject=limit", "subject=pipeline", "load=bulk") == [
        "pipeline peers 1: load bulk",
        "limit peers 1: load bulk",
    ]
    assert chosen("peers", "subject=nobody") == []


@pytest.mark.parametrize("text", ["workers", "=2", "workers="])
def test_a_choice_without_name_or_value_is_refused(text: str) -> None:
    """With what to say instead."""
    with pytest.raises(UnfitSelectionError, match="workers=1,2"):
        Selection.parsed([text])


def test_each_run_that_lost_something_is_told_apart_from_those_that_did_not() -> None:
    """One of three repeats is enough for the scenario not to pass."""
    runs = [run(scenario="disorder", repeat=n, reliability=Reliability(lost=n % 2)) for n in (1, 2)]
    assert [one.passed for one in judged(BY_NAME["disorder"].criteria, runs)] == [False, True]


def test_rates_and_workers_are_in_the_order_in_which_they_are_told() -> None:
    """One rate has fewer and more workers too."""
    workers = [labels["workers"] for labels, _ in BY_NAME["workers"].variants(100)]
    assert workers == [1, 2, 3, 4, 6, 8]
    rates = [(spec.per_second, spec.workers) for _, spec in BY_NAME["rates"].variants(100)]
    assert rates == [(50, 2), (200, 1), (200, 2), (200, 4), (1000, 2)]


def test_percentiles_are_those_of_the_times() -> None:
    """Of the times 1 to 1,000, in any order."""
    found = percentiles_of([float(n) for n in range(1000, 0, -1)])
    assert (found.count, found.mean, found.max) == (1000, 500.5, 1000)
    assert (found.p50, found.p90, found.p99, found.p999) == (501, 901, 991, 1000)


def test_costs_are_what_was_added_and_never_below_zero() -> None:
    """A server that was started anew counts from zero."""
    before = Cost(redis_commands=10, mongodb_operations={"insert": 5, "query": 9})
    after = Cost(redis_commands=25, mongodb_operations={"insert": 8, "query": 2})
    found = difference(after, before)
    assert found.redis_commands == 15
    assert found.mongodb_operations == {"insert": 3, "query": 0}


def test_runs_that_are_alike_are_told_by_their_median() -> None:
    """With the least and the most, and how many there were."""
    runs = [
        run(rate, scenario="workers", variant={"workers": 2}, repeat=repeat)
        for repeat, rate in enumerate((500, 1000, 250), start=1)
    ]
    (line,) = lines([*runs])
    assert line[:3] == ("workers", "workers 2", "events/s")
    assert line[3:] == (500.0, 250.0, 1000.0, 3, 0)


def test_of_a_timetable_times_are_told_and_no_rate() -> None:
    """The rate was given, not found."""
    times = Latency(end_to_end=percentiles_of([1.0, 2.0, 3.0]))
    found = {line.figure: line.median for line in lines([run(load=Load.OPEN, latency=times)])}
    assert found == {"p50, ms": 2.0, "p99, ms": 3.0, "max, ms": 3.0, "waiting at the end": 0}


def test_a_result_is_read_back_as_it_was_kept() -> None:
    """And a field that nobody knows is refused, not overlooked."""
    found = result(run(variant={"n": 1.5}))
    kept = found.model_dump_json(exclude_defaults=True)
    assert Result.model_validate_json(kept) == found
    with pytest.raises(ValidationError):
        Result.model_validate_json(kept.replace('"name":', '"nickname":"x","name":'))


def test_what_disorder_costs_is_held_against_events_that_are_submitted_alike() -> None:
    """Else what windows give would be taken for a cost of lateness."""
    specs = [spec for _, spec in BY_NAME["disorder"].variants(1_000)]
    assert specs[0].workload.late == 0 < specs[1].workload.late
    assert {spec.by_batch for spec in specs} == {True}


@pytest.mark.parametrize(("by_batch", "at_once"), [(True, 500), (False, None)])
def test_a_run_is_submitted_as_its_spec_says(
    monkeypatch: pytest.MonkeyPatch, *, by_batch: bool, at_once: int | None
) -> None:
    """A batch at a time, or as many as the dispatcher cuts from."""

    class _FedError(Exception):
        pass

    given: dict[str, Any] = {}

    def feed(_app: object, _events: object, **how: Any) -> None:
        given.update(how)
        raise _FedError

    monkeypatch.setattr(product, "feed", feed)
    app: Any = SimpleNamespace(settings=SimpleNamespace(batch_size=500))
    nobody: Any = SimpleNamespace(tend=None)
    spec = Spec(workload=Workload(source="synthetic", events=1), by_batch=by_batch)
    with pytest.raises(_FedError):
        product._bulk(app, spec, nobody, lambda _what, _events: None)  # noqa: SLF001 - its feeding alone
    assert given["at_once"] == at_once
