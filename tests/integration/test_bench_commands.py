"""`pipeline bench compare` and `predict` on results of which the truth is known."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from benchmarks import results
from benchmarks.cli import register
from benchmarks.results import Environment, Load, Run

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
WHERE = Environment(
    system="Linux",
    cpu="a",
    cores=8,
    memory_gib=8,
    load_before=0.1,
    versions={},
    write_concern="majority",
    redis_durability="none",
)
NOISE = (0.99, 1.01, 1.0, 1.02, 0.98)


def rate_of(workers: int) -> float:
    """Events a second, by a law of scaling with nothing but some contention."""
    return 1000 * workers / (1 + 0.1 * (workers - 1))


def kept(folder: Path, name: str, *counts: int, faster: float = 1.0) -> str:
    """A result of five rounds with so many workers."""
    runs = [
        Run(
            scenario="workers",
            variant={"workers": workers},
            repeat=number,
            load=Load.BULK,
            workers=workers,
            seed=1,
            began_at=NOON,
            seconds=10_000 / (rate_of(workers) * faster * noise),
            events=10_000,
            sent=10_000,
        )
        for number, noise in enumerate(NOISE, start=1)
        for workers in counts
    ]
    path = folder / f"{name}.json"
    result = results.Result(name=name, began_at=NOON, environment=WHERE, runs=runs)
    path.write_text(result.model_dump_json())
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
