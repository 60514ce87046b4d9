"""What the report concludes from results with known ratios, and that it claims no more."""

import pytest

from benchmarks.comparing import compare_results
from benchmarks.reporting.findings import Tone
from benchmarks.reporting.summary import scenarios
from benchmarks.reporting.words import conclusion, question
from benchmarks.results import Load, Reliability, Result, Run
from tests.made_up_results import at_rate, environment, result, run


def told(found: Result, earlier: Result | None = None) -> list[tuple[Tone, str]]:
    """All sentences of the conclusion."""
    compared = compare_results(found, earlier) if earlier else []
    topics = conclusion(scenarios(found.runs), found.environment, compared)
    return [(sentence.tone, sentence.text) for topic in topics for sentence in topic.sentences]


def the_one(sentences: list[tuple[Tone, str]], words: str) -> tuple[Tone, str]:
    """The only sentence with these words."""
    (found,) = [sentence for sentence in sentences if words in sentence[1]]
    return found


def beside(ours: list[float], theirs: list[float], peer: str = "celery") -> list[Run]:
    """Runs of both, side by side."""
    return [
        run(rate, subject=subject, repeat=repeat)
        for subject, rates in (("pipeline", ours), (peer, theirs))
        for repeat, rate in enumerate(rates, start=1)
    ]


def test_a_ratio_to_a_peer_is_that_of_runs_side_by_side() -> None:
    """The machine was half as fast in the second repeat, for both."""
    _, text = the_one(told(result(*beside([3000, 1600], [1000, 500]))), "celery (")
    assert "pipeline works off 3.10 times as many as celery (3.00 to 3.20, 2 pairs" in text


def test_a_faster_peer_is_said_to_be_faster() -> None:
    """The limit, for one."""
    _, text = the_one(told(result(*beside([1000, 1100], [4000, 4620], "limit"))), "times")
    assert "limit works off 4.10 times as many as pipeline (4.00 to 4.20, 2 pairs" in text


def test_ratios_on_both_sides_of_one_tell_nothing_apart() -> None:
    """Faster once, slower once."""
    _, text = the_one(told(result(*beside([1000, 1000], [900, 1100]))), "told apart")
    assert "pipeline and celery are not told apart by their rate (0.909 to 1.11" in text


def test_one_pair_has_no_interval() -> None:
    """Its ratio is told with that."""
    sentences = told(result(*beside([3000], [1000])))
    assert (
        "3.00 times as many as celery (one run only, no interval)" in the_one(sentences, "3.00")[1]
    )
    assert the_one(sentences, "may be chance")[0] == Tone.CAUTION


def test_runs_that_were_not_side_by_side_are_said_to_be_so() -> None:
    """Of different repeats only medians can be divided."""
    runs = [run(3000, repeat=1), run(1000, subject="celery", repeat=2)]
    assert "runs that were not side by side, no interval" in the_one(told(result(*runs)), "3.00")[1]


def test_different_variants_are_no_peers() -> None:
    """Four workers against one would be no comparison."""
    runs = [
        run(3000, variant={"workers": 4}),
        run(1000, subject="celery", variant={"workers": 1}),
    ]
    assert not any("celery (" in text for _, text in told(result(*runs)))


def test_growth_over_workers_is_told_with_its_peak() -> None:
    """Eight workers are fewer than four here."""
    rates = {1: 1000, 2: 1900, 4: 3000, 8: 2500}
    runs = [
        run(rate * factor, variant={"workers": n}, workers=n, repeat=repeat)
        for repeat, factor in ((1, 1), (2, 1.1))
        for n, rate in rates.items()
    ]
    _, text = the_one(told(result(*runs)), "with workers at 1, 2, 4 and 8")
    assert "1,050, 1,995, 3,150 and 2,625 events a second" in text
    assert "2.50 times as many at 8 as at 1, where 8 times would be perfect" in text
    assert "highest rate is at 4" in text


def test_what_differs_in_step_is_one_line() -> None:
    """As shares of late events and of duplicates do."""
    runs = [
        run(rate, variant={"late": share, "duplicates": share})
        for share, rate in ((0.0, 1000), (0.2, 800), (0.5, 400))
    ]
    assert "0.400 times as many at 0.5 as at 0" in the_one(told(result(*runs)), "with late at")[1]


def test_latency_is_told_at_each_rate() -> None:
    """Medians over runs."""
    runs = [
        at_rate(rate, p50, p99, repeat=repeat)
        for rate in (50, 200, 1000)
        for repeat, (p50, p99) in enumerate(((10, 40), (12, 44), (30, 2500)), start=1)
    ]
    sentences = told(result(*runs))
    for rate in ("50", "200", "1,000"):
        tone, text = the_one(sentences, f"single, {rate} a second")
        assert tone == Tone.PLAIN
        assert "half of the events took at most 12.0 ms and 99% at most 44.0 ms" in text
        assert "(medians of 3 runs)" in text
        assert "No backlog grew: at most 0 events" in text


@pytest.mark.parametrize(("backlog", "kept_up"), [(200, True), (201, False)])
def test_a_line_of_more_than_a_second_is_not_keeping_up(*, backlog: int, kept_up: bool) -> None:
    """A second's worth is under way; more is a line that grows."""
    tone, text = the_one(told(result(at_rate(200, backlog=backlog))), "still waited")
    assert (tone == Tone.PLAIN) == kept_up
    assert ("did not keep up in 1 of 1 run" in text) != kept_up
    assert f"{backlog} events still waited" in text


def test_a_peer_that_fell_behind_is_named_beside_the_ratio() -> None:
    """Its latency is that of a growing line."""
    runs = [at_rate(200), at_rate(200, 4000, 8000, subject="rq", backlog=900)]
    _, text = the_one(told(result(*runs)), "200 times as long with rq")
    assert "Mind that rq did not keep up." in text


def test_what_was_missed_is_said_with_its_reason() -> None:
    """Before what was met."""
    bad = run(scenario="locks", passed=False, missed=["at least 0.9 of the rate"])
    sentences = told(result(run(passed=True), bad))
    missed = the_one(sentences, "missed")
    assert missed == (
        Tone.BAD,
        "locks missed what it asks for, in 1 of 1 run: at least 0.9 of the rate.",
    )
    met = the_one(sentences, "main met what it asks for")
    assert met[0] == Tone.GOOD
    assert sentences.index(missed) < sentences.index(met)


def test_a_scenario_that_was_missed_in_part_was_missed() -> None:
    """With the variant of which that is so, what it missed, and in how many of its runs."""
    runs = [
        run(variant={"workers": n}, repeat=repeat, passed=not missed, missed=missed)
        for n, repeat, missed in (
            (1, 1, []),
            (1, 2, []),
            (2, 1, ["as fast"]),
            (2, 2, ["as fast"]),
            (4, 1, []),
            (4, 2, ["as fast", "sound"]),
        )
    ]
    tone, text = the_one(told(result(*runs)), "asks for")
    assert tone == Tone.BAD
    assert text == (
        "main missed what it asks for, in 3 of 6 runs: workers 2 (as fast); "
        "workers 4, 1 of 2 runs (as fast; sound)."
    )


@pytest.mark.parametrize("kind", ["lost", "doubled", "wrong"])
def test_each_kind_of_loss_is_told(kind: str) -> None:
    """Alone, too."""
    known = {"lost": 0, "doubled": 0, "wrong": 0, kind: 1}
    sentences = told(result(run(reliability=Reliability(**known))))
    assert the_one(sentences, kind)[0] == Tone.BAD
    assert not any("No event was lost" in text for _, text in sentences)


def test_events_that_could_not_succeed_are_given_up_as_they_should_be() -> None:
    """One more than that is something to look at."""
    for dead, tone in ((3, Tone.PLAIN), (4, Tone.CAUTION)):
        sentences = told(result(run(reliability=Reliability(dead=dead, doomed=3))))
        found = the_one(sentences, "up in 1 run")
        assert found == (
            tone,
            f"main: pipeline gave {dead} events up in 1 run, and 3 could not succeed.",
        )


def test_where_nothing_is_asked_nothing_is_met_or_missed() -> None:
    """None is neither."""
    assert not any("asks for" in text for _, text in told(result(run())))


def test_a_lost_event_is_told_first() -> None:
    """And then nobody says that none was lost."""
    wrong = Reliability(lost=2, doubled=1, wrong=3)
    sentences = told(result(run(), run(repeat=2, reliability=wrong)))
    tone, text = sentences[0]
    assert tone == Tone.BAD
    assert "2 events lost, 1 event doubled and 3 documents wrong in 2 runs" in text
    assert not any("No event was lost" in text for _, text in sentences)


def test_that_nothing_was_lost_is_said_of_those_that_can_tell() -> None:
    """One of two can."""
    known = run(reliability=Reliability(lost=0, doubled=0))
    tone, text = the_one(told(result(known, run(repeat=2))), "No event was lost")
    assert tone == Tone.GOOD
    assert "in 1 of 2 runs; the others can't tell" in text
    assert the_one(told(result(run())), "No run can tell")[0] == Tone.CAUTION


@pytest.mark.parametrize("words", [(True, False), ("on", "off")])
def test_a_switch_is_told_with_its_price(words: tuple[bool | str, bool | str]) -> None:
    """As a ratio of its rate on to its rate off."""
    on, off = words
    runs = [
        run(rate * factor, variant={"locks": value}, repeat=repeat)
        for repeat, factor in ((1, 1.0), (2, 1.5))
        for value, rate in ((on, 900), (off, 1000))
    ]
    _, text = the_one(told(result(*runs)), "with locks on, against off")
    assert "0.900 times the rate (0.900 to 0.900, 2 pairs of runs)" in text


def test_other_measurements_are_no_rate() -> None:
    """What took as long as something else took."""
    runs = [
        run(
            scenario="rescue",
            repeat=n,
            variant={"size": size},
            figures={"rescued_after_s": 9.0 + n},
        )
        for n in (1, 2, 3)
        for size in (1, 2)
    ]
    sentences = told(result(*runs))
    text = the_one(sentences, "rescue, size 2")[1]
    assert "rescued_after_s 11.0 (10.0 to 12.0)" in text
    assert not any("events a second" in text for _, text in sentences)


def test_a_comparison_says_what_differs_and_how_much_does_not() -> None:
    """Twice the rate, and the same latency."""
    now = [run(2000 + n, repeat=n) for n in range(7)] + [at_rate(50, repeat=n) for n in range(7)]
    then = [run(1000 + n, repeat=n) for n in range(7)] + [at_rate(50, repeat=n) for n in range(7)]
    sentences = told(result(*now), result(*then, environment=environment(cpu="Another")))
    assert "A is 2.00 times B" in the_one(sentences, "main pipeline: events a second")[1]
    assert "no real difference" in the_one(sentences, "figures: ")[1]
    tone, text = the_one(sentences, "may not compare")
    assert tone == Tone.CAUTION
    assert "another processor" in text


def test_a_busy_machine_and_changed_sources_are_told() -> None:
    """Both take from what the figures are worth."""
    sentences = told(result(run(), environment=environment(load_before=3, revision="abc+")))
    assert "a load of 3.00 on 4 cores" in the_one(sentences, "busy")[1]
    assert "differ from revision abc" in the_one(sentences, "revision")[1]


def test_without_runs_nothing_is_said() -> None:
    """But that."""
    assert told(result()) == [(Tone.CAUTION, "There are no runs, so nothing can be said.")]


def test_a_question_names_what_differs() -> None:
    """By its axis, and with the peers."""
    runs = [
        run(variant={"workers": n}, subject=name) for n in (1, 2) for name in ("celery", "pipeline")
    ]
    (scenario,) = scenarios(runs)
    assert question(scenario) == (
        "How many events a second are worked off, by workers, beside celery?"
    )
    assert scenario.subjects == ("pipeline", "celery")
    assert scenario.loaded(Load.OPEN) == ()
