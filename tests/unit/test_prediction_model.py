"""A model fitted to runs, asked about others, and checked against them."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.prediction.checking import accuracy, check, hold_out
from benchmarks.prediction.conditions import UnfitRunsError, conditions_of, kept_up, to_fit
from benchmarks.prediction.model import Model, fit
from benchmarks.results import Load, Reliability, Run
from tests.made_up_world import HOT, ONE, TRUTH, bulk, failing, opened

pytestmark = pytest.mark.uncounted

COUNTS = (1, 2, 3, 4, 6, 8)
RATES = (25, 50, 100, 200, 400)


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    """Some worker counts and rates, three times each."""
    return [
        run
        for repeat in (1, 2, 3)
        for run in [
            *(bulk(workers, repeat) for workers in COUNTS),
            *(opened(workers, rate, repeat) for workers in (1, 2) for rate in RATES),
        ]
    ]


@pytest.fixture(scope="module")
def model(runs: list[Run]) -> Model:
    """Of all these runs."""
    return fit(runs)


@pytest.mark.parametrize("beyond", [False, True])
def test_variants_not_seen_are_predicted_within_the_bars(runs: list[Run], *, beyond: bool) -> None:
    """15 % of throughput and 30 % of latency, between what was measured and beyond it."""
    fitted, held = hold_out(runs, beyond=beyond)
    found = check(fit(fitted), held)
    assert {one.figure for one in found} == {"events a second", "p50, ms", "p99, ms"}
    assert [str(one) for one in found if not one.within_bar] == []
    # That a load which is kept up with has the throughput that is offered is no prediction.
    assert not any("/s" in one.conditions for one in found if one.figure == "events a second")
    assert sum(one.within_interval for one in found) >= 0.8 * len(found)


def test_whole_variants_are_held_out(runs: list[Run]) -> None:
    """No repeat of a variant is on both sides, nothing is lost, ends are kept."""
    fitted, held = hold_out(runs)
    seen = {conditions_of(run) for run in fitted}
    assert not seen & {conditions_of(run) for run in held}
    assert len(fitted) + len(held) == len(runs)
    counts = {run.workers for run in fitted if run.load is Load.BULK}
    assert {1, 8} <= counts
    assert {run.workers for run in held if run.load is Load.BULK} == {2, 6}
    assert len(held) == 3 * len({conditions_of(run) for run in held})


def test_the_last_variants_can_be_held_out(runs: list[Run]) -> None:
    """To see how far beyond the measurements a model can be trusted."""
    _, held = hold_out(runs, beyond=True)
    assert {(run.workers, run.offered_per_second) for run in held} == {(8, None), (2, 400)}


def test_nothing_is_held_out_that_lies_beyond_what_is_left() -> None:
    """Alone with its rate or its workers at an end, a variant could be told by no other."""
    rates = [opened(2, 50), opened(1, 200), opened(2, 200), opened(4, 200), opened(2, 400)]
    fitted, held = hold_out(rates)
    assert [(run.workers, run.offered_per_second) for run in held] == [(2, 200)]
    assert len(fitted) == 4
    corners = [opened(workers, rate) for workers in (1, 2) for rate in (25, 50)]
    assert hold_out(corners)[1] == []


def test_two_variants_are_too_few_to_hold_one_out() -> None:
    """A model is not fitted to one end."""
    fitted, held = hold_out([bulk(1, 1), bulk(2, 1)])
    assert (len(fitted), held) == (2, [])


def test_an_error_is_that_of_the_prediction_to_what_was_measured(model: Model) -> None:
    """And the bar is told with it."""
    slow = bulk(4, 1).model_copy(update={"seconds": 2 * bulk(4, 1).seconds})
    (found,) = check(model, [slow])
    expected = 100 * (found.predicted.value / slow.per_second - 1)
    assert found.error_percent == pytest.approx(expected)
    assert found.error_percent > 80
    assert not found.within_bar
    assert not found.within_interval
    assert "NOT within 15 %" in str(found)


def test_errors_are_summed_up_by_figure(model: Model) -> None:
    """The median and the worst of their sizes, whichever way they go."""
    found = check(model, [bulk(4, 1), bulk(8, 1).model_copy(update={"seconds": 1000.0})])
    sizes = sorted(abs(one.error_percent) for one in found)
    (summed,) = accuracy(found)
    assert (summed.figure, summed.variants, summed.within_bar) == ("events a second", 2, 1)
    assert summed.median_percent == pytest.approx(sum(sizes) / 2)
    assert summed.worst_percent == sizes[1]
    assert "2 variants held out" in str(summed)
    assert accuracy([]) == []


def test_a_load_that_was_too_much_is_checked_by_its_throughput(model: Model) -> None:
    """Its latencies are those of a line that grows, and are no prediction's business."""
    runs = [opened(1, 1.5 * TRUTH.capacity(1), repeat) for repeat in (1, 2, 3)]
    assert not any(map(kept_up, runs))
    (found,) = check(model, runs)
    assert (found.figure, found.runs, found.within_bar) == ("events a second", 3, True)
    assert found.predicted.value < 0.8 * 1.5 * TRUTH.capacity(1)


def test_a_load_was_too_much_if_it_took_longer_or_left_a_line() -> None:
    """A tenth longer than its timetable, or a tenth of the events still waiting at its end."""
    run = opened(1, 50)
    assert kept_up(run)
    assert not kept_up(run.model_copy(update={"backlog": 150}))
    assert not kept_up(run.model_copy(update={"seconds": 25.0}))
    assert kept_up(bulk(1, 1).model_copy(update={"backlog": 20_000}))


def test_too_much_is_told_instead_of_a_latency(model: Model) -> None:
    """No number can stand for a line that grows."""
    found = model.predict(workers=1, per_second=20_000, events=1000, deadline=60)
    assert found.keeps_up is False
    assert (found.p50_ms, found.p99_ms, found.drain_seconds) == (None, None, None)
    assert found.miss_probability == 1
    assert found.throughput.value == found.capacity.value
    assert "does not keep up: the line grows, and latency with it" in found.notes


def test_loads_that_were_too_much_tell_what_single_events_cost() -> None:
    """Without them the model takes single events for as cheap as those in large batches."""
    cheap = [bulk(n, 1) for n in (1, 2, 4, 8)]
    light = [opened(1, rate) for rate in (25, 100)]
    costly = opened(1, 25).model_copy(
        update={
            "variant": {"workers": 1, "per_second": 900},
            "offered_per_second": 900.0,
            "seconds": 20.0,
            "sent": 12_000,
            "events": 12_000,
        }
    )
    before = fit(cheap + light).predict(workers=1, per_second=100).capacity
    after = fit([*cheap, *light, costly]).predict(workers=1, per_second=100).capacity
    assert before.value > 1500
    assert after.value == pytest.approx(600, rel=0.2)


def test_waits_that_were_measured_tell_base_from_work() -> None:
    """With light loads alone nothing else can."""
    scaling = [bulk(n, 1) for n in (1, 2, 4, 8)]
    # The lightest load, where the fit begins, has none: what is seen is not the first guess.
    light = [opened(1, rate, split=rate > 10) for rate in (10, 20, 40)]
    found = fit(scaling + light).capacity.queue
    assert found is not None
    assert found.service.base_ms == pytest.approx(TRUTH.base_ms, rel=0.15)
    assert found.service.job_ms == pytest.approx(TRUTH.job_ms, rel=0.25)


def test_a_hot_id_bounds_throughput_at_its_rate_by_its_share() -> None:
    """Found in runs that it held up, and predicted at shares and counts not measured."""
    measured = [bulk(n, r) for n in COUNTS for r in (1, 2)]
    held_up = [bulk(8, repeat, hot_share=0.5) for repeat in (1, 2, 3)]
    # A small share holds nothing up, and says nothing of how fast the id could be.
    free = [bulk(workers, 1, hot_share=0.03) for workers in COUNTS]
    model = fit(measured + held_up + free)
    assert fit(measured + free).capacity.hot.runs == 0
    held = [bulk(6, 1, hot_share=0.9), bulk(8, 1, hot_share=0.4), bulk(4, 1, hot_share=0.05)]
    found = check(model, held)
    assert [str(one) for one in found if not one.within_bar] == []
    assert [
        round(one.predicted.value * share / HOT, 1)
        for one, share in zip(found[1:], (0.9, 0.4), strict=True)
    ] == [1, 1]
    # More workers are no help, and none is enough.
    many = model.predict(workers=64, hot_share=0.9, events=100_000, deadline=10)
    assert many.capacity.value == pytest.approx(HOT / 0.9, rel=0.1)
    assert many.workers_needed is None


def test_runs_with_failures_are_held_against_a_model_that_has_seen_none(
    runs: list[Run],
) -> None:
    """Their work without failures tells its pace; how often they try again is predicted too."""
    rates = (0.0, 0.02, 0.1, 0.3)
    measured = [failing(rate, repeat) for rate in rates for repeat in range(1, 6)]
    fitted, held = hold_out(to_fit([*runs, *measured]))
    assert {run.variant["failure_rate"] for run in held if run.scenario == "failures"} == {
        0.02, 0.1, 0.3,
    }  # fmt: skip
    model = fit(fitted)
    assert model.paces == {"failures": pytest.approx(1.1, rel=0.08)}
    found = check(model, [run for run in held if run.scenario == "failures"])
    attempts = [one for one in found if one.figure == "attempts an event"]
    assert [(one.runs, one.within_bar, one.within_interval) for one in attempts] == [
        (5, True, True)
    ] * 3
    assert attempts[2].predicted.value == pytest.approx(1 + 0.3 + 0.09 + 0.027 + 0.0081)
    assert sum(one.figure == "events a second" for one in found) == 3
    never = {"reliability": Reliability(errors=0, retries=0)}
    often = [run for run in held if run.variant.get("failure_rate") == 0.3]
    wrong = check(model, [run.model_copy(update=never) for run in often])
    assert [one.within_bar for one in wrong if one.figure == "attempts an event"] == [False]


def test_a_hot_id_in_other_work_is_seen_in_relation_to_it(runs: list[Run]) -> None:
    """Its scenario sends other events, half as fast: what counts is what the hot id costs them."""

    def other(share: float, repeat: int) -> Run:
        like = bulk(2, repeat, hot_share=share)
        return like.model_copy(update={"scenario": "hot-id", "seconds": 2 * like.seconds})

    measured = [other(share, repeat) for share in (0.0, 0.8) for repeat in (1, 2, 3)]
    model = fit([*runs, *measured])
    assert model.paces == {"hot-id": pytest.approx(0.5, rel=0.1)}
    assert model.capacity.usl == fit(runs).capacity.usl
    here = model.predict(workers=2, hot_share=1.0).capacity
    assert here.value == pytest.approx(HOT, rel=0.1)
    (found,) = check(model, [other(1.0, 1)])
    assert found.within_bar
    assert found.predicted.value == pytest.approx(HOT / 2, rel=0.1)


def test_of_a_whole_result_those_runs_are_taken_that_do_the_same_work(runs: list[Run]) -> None:
    """Scenarios of other questions are left out, and so are peers."""
    soak, hot, other = (
        runs[0].model_copy(update={"scenario": name}) for name in ("soak", "hot-id", "payloads")
    )
    peer = runs[0].model_copy(update={"subject": "celery"})
    assert to_fit([soak, hot, other, peer]) == [soak, hot]
    assert to_fit([soak, hot, other, peer], "celery") == [peer]
    same = bulk(2, 1).model_copy(update={"scenario": "workers"})
    assert conditions_of(same) == conditions_of(bulk(2, 1))


def test_without_runs_with_a_hot_id_its_rate_is_that_of_one_worker(model: Model) -> None:
    """Which is said."""
    found = model.predict(workers=8, hot_share=1.0)
    assert found.capacity.value == pytest.approx(ONE, rel=0.1)
    assert any("taken as that of one worker" in note for note in found.notes)


def test_failures_take_capacity_and_leave_a_tail(model: Model) -> None:
    """By the attempts that an event takes; the last retries are waited for."""
    plain = model.predict(workers=2, events=50_000)
    failing = model.predict(workers=2, events=50_000, failure_rate=0.2, attempts=3)
    assert failing.capacity.value == pytest.approx(plain.capacity.value / 1.24)
    assert plain.drain_seconds is not None
    assert failing.drain_seconds is not None
    work = 1.24 * plain.drain_seconds.value
    assert work + 2 < failing.drain_seconds.value < work + 6
    assert failing.throughput.value == pytest.approx(50_000 / failing.drain_seconds.value)
    assert failing.dead_letters is not None
    assert failing.dead_letters.value == pytest.approx(50_000 * 0.008)


def test_failures_show_in_the_tail_of_latency(model: Model) -> None:
    """With two of a hundred failing, the 99th percentile is one of theirs: a second, not 0.1."""
    plain = model.predict(workers=2, per_second=100)
    failing = model.predict(workers=2, per_second=100, failure_rate=0.02)
    assert plain.p50_ms is not None
    assert plain.p99_ms is not None
    assert failing.p50_ms is not None
    assert failing.p99_ms is not None
    assert failing.p50_ms.value == pytest.approx(plain.p50_ms.value, rel=0.1)
    assert 800 < failing.p99_ms.value < 1300


def test_a_backlog_drains_by_what_is_left_of_the_capacity(model: Model) -> None:
    """And the fewest workers that make the deadline are asked for by trying."""
    found = model.predict(workers=2, per_second=1000, events=60_000, deadline=10)
    assert found.drain_seconds is not None
    assert found.drain_seconds.value == pytest.approx(60_000 / (found.capacity.value - 1000))
    assert found.workers_needed is not None
    needed = int(found.workers_needed.value)
    for workers, enough in ((needed, True), (needed - 1, False)):
        there = model.predict(workers=workers, per_second=1000, events=60_000)
        in_time = there.drain_seconds is not None and there.drain_seconds.value <= 10
        assert in_time is enough
    assert found.miss_probability is not None
    assert found.miss_probability > 0.5


def test_what_was_not_measured_is_said(model: Model) -> None:
    """Other worker counts, other rates, loads near the limit."""
    far = model.predict(workers=20, per_second=2).notes
    assert any("20 workers are outside of what was measured" in note for note in far)
    assert any("2 events/s are outside of what was measured: 25 to 400" in note for note in far)
    limit = model.predict(workers=2, per_second=50).capacity
    near = model.predict(workers=2, per_second=0.999 * limit.value)
    assert any("close to what can go through" in note for note in near.notes)
    assert near.p99_ms is not None
    assert near.p99_ms.high is None
    assert model.predict(workers=2, per_second=50).notes == []


def test_a_model_is_kept_as_json(model: Model) -> None:
    """What is read back predicts the same."""
    read = Model.model_validate_json(model.model_dump_json())
    assert read == model
    asked = {"workers": 3, "per_second": 60.0, "events": 1000}
    assert read.predict(**asked) == model.predict(**asked)
    json.loads(model.predict(**asked).model_dump_json())


def test_runs_of_different_work_are_refused(runs: Sequence[Run]) -> None:
    """Other subjects, scenarios, settings, or things in the variant that no law knows."""
    one = bulk(1, 1)
    for change, said in (
        ({"subject": "celery"}, "apart"),
        ({"scenario": "disorder"}, "different work"),
        ({"variant": {"workers": 1, "tenants": 5}}, "tenants"),
        ({"settings": {"batch_size": 5}}, "batch_size"),
        ({"variant": {"hot_share": "much"}}, "much"),
    ):
        with pytest.raises(UnfitRunsError, match=said):
            fit([*runs, one.model_copy(update=change)])
    with pytest.raises(UnfitRunsError, match="no runs"):
        fit([])
    with pytest.raises(UnfitRunsError, match="runs in bulk"):
        fit([opened(1, 25)])


def test_a_model_tells_nothing_of_another_subject(model: Model) -> None:
    """A peer's runs are not held against it."""
    with pytest.raises(UnfitRunsError, match="nothing of celery"):
        check(model, [bulk(1, 1).model_copy(update={"subject": "celery"})])


def test_what_makes_no_sense_is_refused(model: Model) -> None:
    """By name."""
    wrong: list[dict[str, Any]] = [
        {"workers": 0},
        {"workers": 1, "per_second": 0},
        {"workers": 1, "events": 0},
        {"workers": 1, "hot_share": 1.5},
        {"workers": 1, "events": 1, "deadline": 0},
        {"workers": 1, "failure_rate": 2.0},
        {"workers": 1, "attempts": 0},
    ]
    for asked in wrong:
        with pytest.raises(ValueError, match="not"):
            model.predict(**asked)


@settings(max_examples=20, deadline=None)
@given(
    workers=st.integers(1, 20),
    events=st.integers(1, 10**6),
    hot_share=st.floats(0, 1),
    failure_rate=st.floats(0, 0.5),
    deadline=st.floats(1, 1000),
)
def test_intervals_hold_their_values(
    model: Model,
    *,
    workers: int,
    events: int,
    hot_share: float,
    failure_rate: float,
    deadline: float,
) -> None:
    """Whatever is asked; and less to do never takes longer."""
    asked: dict[str, Any] = {"workers": workers, "hot_share": hot_share}
    found = model.predict(**asked, events=events, failure_rate=failure_rate, deadline=deadline)
    estimates = (found.capacity, found.throughput, found.drain_seconds, found.dead_letters)
    for one in (*estimates, found.workers_needed):
        assert one is None or one.holds(one.value)
    assert found.miss_probability is not None
    assert 0 <= found.miss_probability <= 1
    easier = model.predict(**asked, events=events)
    assert easier.drain_seconds is not None
    assert found.drain_seconds is not None
    assert easier.drain_seconds.value <= found.drain_seconds.value
