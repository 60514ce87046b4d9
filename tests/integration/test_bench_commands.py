"""`pipeline bench compare` and `predict` on results of which the truth is known."""

import json
import re
import signal
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from benchmarks.cli import register, running
from benchmarks.feeding import StalledError
from benchmarks.places import PlaceTakenError
from benchmarks.results import Run
from benchmarks.scenarios import SCENARIOS, Labels
from benchmarks.spec import Spec
from tests.made_up_results import result
from tests.made_up_results import run as one_run
from tests.made_up_world import COHERENCE, CONTENTION, bulk, opened

pytestmark = pytest.mark.uncounted

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
DRIFTS = (1.0, 0.82, 1.2, 0.9, 1.1)
NOISE = (0.99, 1.01, 1.0, 1.02, 0.98)


def rate_of(workers: int) -> float:
    """Events a second, by a law of scaling with nothing but some contention."""
    return 1000 * workers / (1 + 0.1 * (workers - 1))


def kept(folder: Path, name: str, *counts: int, faster: float = 1.0) -> str:
    """A result of five rounds with so many workers."""
    runs = [
        one_run(
            rate_of(workers) * faster * noise,
            scenario="workers",
            variant={"workers": workers},
            repeat=number,
            workers=workers,
        )
        for number, noise in enumerate(NOISE, start=1)
        for workers in counts
    ]
    path = folder / f"{name}.json"
    path.write_text(result(*runs).model_dump_json())
    return str(path)


def run(*arguments: str) -> Result:
    """Run the command."""
    app = typer.Typer()
    register(app)
    return CliRunner().invoke(app, ["bench", *arguments])


def parsed(*arguments: str) -> Any:
    """What it prints for programs."""
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_real_difference_is_told_with_its_interval_and_no_other(tmp_path: Path) -> None:
    """A fifth more is one; the same again is none."""
    before = kept(tmp_path, "before", 2)
    after = kept(tmp_path, "after", 2, faster=1.2)
    (found,) = parsed("compare", after, before)
    (figure,) = [one for one in found["figures"] if one["figure"] == "events a second"]
    assert figure["answer"] == "different"
    assert figure["ratio"]["low"] <= 1.2 <= figure["ratio"]["high"]
    (same,) = parsed("compare", before, kept(tmp_path, "again", 2))
    assert {one["answer"] for one in same["figures"]} == {"no real difference"}
    assert "no real difference" in " ".join(run("compare", before, before).stdout.split())


def test_what_has_nothing_in_common_is_not_compared(tmp_path: Path) -> None:
    """With a sentence, and a status of its own."""
    done = run("compare", kept(tmp_path, "one", 1), kept(tmp_path, "two", 2))
    assert done.exit_code == 1
    assert "no scenario and variant in common" in done.output


def test_throughput_is_predicted_for_counts_that_were_not_measured(tmp_path: Path) -> None:
    """And a backlog's time with it."""
    measured = kept(tmp_path, "measured", 1, 2, 4, 8)
    found = parsed("predict", measured, "--workers", "6", "--events", "40000")
    assert found["throughput"]["value"] == pytest.approx(rate_of(6), rel=0.05)
    assert found["drain_seconds"]["value"] == pytest.approx(40_000 / rate_of(6), rel=0.05)
    assert "drain seconds" in run("predict", measured, "--events", "40000").stdout


def test_a_prediction_is_checked_against_what_it_has_not_seen(tmp_path: Path) -> None:
    """Each error is told, with the bar it is held against."""
    measured = kept(tmp_path, "measured", 1, 2, 3, 4, 6, 8)
    checks = parsed("predict", measured, "--check")
    assert checks
    assert all(one["within_bar"] and abs(one["error_percent"]) < 5 for one in checks)
    assert "within 15 %" in run("predict", measured, "--check").stdout


@pytest.fixture(scope="module")
def five_rounds(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give a result of five rounds, as the scenarios declare them, on a machine that drifts.

    In each round all is faster or slower, bulk by up to a fifth, as on machines that others share.
    """
    runs = [
        of_world(name, labels, spec, number, drift)
        for name in ("throughput", "workers", "rates")
        for number, drift in enumerate(DRIFTS, start=1)
        for labels, spec in BY_NAME[name].variants(1_000)
    ]
    path = tmp_path_factory.mktemp("rounds") / "five.json"
    path.write_text(result(*runs).model_dump_json())
    return str(path)


def of_world(name: str, labels: Labels, spec: Spec, number: int, drift: float) -> Run:
    """A run of a scenario in the made-up world."""
    if spec.per_second is None:
        found = bulk(spec.workers, number)
        found = found.model_copy(update={"seconds": found.seconds / drift})
    else:
        found = opened(spec.workers, spec.per_second, number)
    return found.model_copy(update={"scenario": name, "variant": labels})


def test_a_prediction_tells_how_far_off_those_were_that_can_be_checked(five_rounds: str) -> None:
    """Of throughput and of the 99th percentile, from variants that the model had not seen."""
    found = parsed("predict", five_rounds, "--workers", "5", "--rate", "150")
    held_out = {one["figure"]: one for one in found["held_out"]}
    assert {"events a second", "p99, ms"} <= held_out.keys()
    assert held_out["events a second"]["variants"] == 2
    for one in held_out.values():
        assert one["within_bar"] == one["variants"]
        assert one["median_percent"] <= one["worst_percent"] <= one["bar_percent"]
    said = " ".join(run("predict", five_rounds).stdout.split())
    assert "events a second of 2 variants held out: predicted" in said
    assert "p99, ms of 1 variant held out: predicted" in said


def test_too_few_variants_are_said_to_tell_nothing_of_errors(tmp_path: Path) -> None:
    """The prediction is made all the same."""
    measured = kept(tmp_path, "two", 1, 2)
    assert parsed("predict", measured)["held_out"] == []
    assert "how far this is off is not known" in run("predict", measured).stdout


def test_all_five_rounds_of_a_variant_are_held_out_together(five_rounds: str) -> None:
    """A model that has seen one of them has seen them all."""
    checks = parsed("predict", five_rounds, "--check")
    bulk_checks = [one for one in checks if one["figure"] == "events a second"]
    assert [one["conditions"] for one in bulk_checks] == ["2 workers", "6 workers"]
    # Two workers are measured by two scenarios that do the same work.
    assert [one["runs"] for one in bulk_checks] == [10, 5]
    assert {one["runs"] for one in checks if one["figure"] == "p99, ms"} == {5}


def test_rounds_are_told_by_pairs_although_the_machine_drifts(
    five_rounds: str, tmp_path: Path
) -> None:
    """The ratio of two workers to one is that of the world's law, in each of five pairs."""
    page = tmp_path / "report.html"
    assert run("report", five_rounds, "--out", str(page)).exit_code == 0
    (told,) = re.findall(r"workers at 1, 2, 3, 4, 6 and 8, [^<]*", page.read_text())
    assert "5 pairs of runs" in told
    (low, high) = map(float, re.findall(r"\(([\d.]+) to ([\d.]+), 5 pairs", told)[0])
    others = 7
    grown = 8 / (1 + CONTENTION * others + COHERENCE * 8 * others)
    # Runs differ by 5 % by themselves; the drift of two fifths is in none of the pairs.
    assert 0.8 * grown < low <= high < 1.25 * grown


def test_five_rounds_against_themselves_differ_in_nothing(five_rounds: str) -> None:
    """In no variant and no figure; and what was measured in five rounds is enough to say so."""
    found = parsed("compare", five_rounds, five_rounds)
    assert len(found) == 1 + 6 + 5
    answers = {figure["answer"] for each in found for figure in each["figures"]}
    assert "different" not in answers
    assert {figure["runs"] for each in found for figure in each["figures"]} == {5}


def test_runs_that_say_too_little_are_refused_in_a_sentence(tmp_path: Path) -> None:
    """Which runs it takes is told."""
    empty = kept(tmp_path, "empty")
    done = run("predict", empty)
    assert done.exit_code == 1
    assert "Traceback" not in done.output
    assert len(done.output) > 20


def test_a_report_is_one_page_with_the_result_in_it(tmp_path: Path) -> None:
    """With an earlier one held against it; it fetches nothing."""
    now, before = kept(tmp_path, "now", 1, 2, faster=1.2), kept(tmp_path, "before", 1, 2)
    page = tmp_path / "report.html"
    done = run("report", now, "--against", before, "--out", str(page))
    assert done.exit_code == 0, done.output
    written = page.read_text()
    assert "How does throughput grow with workers?" in written
    assert "1.2" in written
    assert 'src="http' not in written
    refused = run("report", now, "--out", str(tmp_path / "nowhere" / "report.html"))
    assert refused.exit_code == 2
    assert "can't be written" in refused.output


@pytest.fixture
def no_servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the runner start nothing, and put back what it does to its process."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(running, "servers", nullcontext)
    monkeypatch.setattr(running, "claim_folder", lambda _folder, **_: None)
    monkeypatch.setattr(running, "environment", lambda _where: result().environment)
    monkeypatch.setattr(running.logs, "configure", lambda _level, **_: None)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("no_servers")
@pytest.mark.parametrize(
    ("error", "status"),
    [(StalledError("nothing moves"), 1), (PlaceTakenError("another one is at it"), 2)],
    ids=["stalled", "place taken"],
)
def test_of_a_call_that_fails_the_runs_that_were_made_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    """It fails as it would have, and says what it has kept."""

    def failing(*_: object) -> Iterator[Run]:
        yield one_run(1000.0, scenario="throughput", variant={}, repeat=1, workers=2)
        raise error

    monkeypatch.setattr(running, "make", failing)
    path = tmp_path / "kept.json"
    done = run("run", "throughput", "--out", str(path))
    assert done.exit_code == status
    assert str(error) in done.output
    assert "not run to its end" in done.output
    assert len(json.loads(path.read_text())["runs"]) == 1


@pytest.mark.usefixtures("no_servers")
def test_of_a_call_that_fails_before_its_first_run_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty result would be taken for one."""

    def failing(*_: object) -> Iterator[Run]:
        raise StalledError("nothing moves")

    monkeypatch.setattr(running, "make", failing)
    path = tmp_path / "kept.json"
    assert run("run", "throughput", "--out", str(path)).exit_code == 1
    assert not path.exists()
