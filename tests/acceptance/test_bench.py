"""`pipeline bench`, as a person uses it: small runs on servers of its own."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.workload import SYNTHETIC, Workload, in_order
from tests.processes import ended, environment
from workers.embedded import EmbeddedMongo, EmbeddedRedis

pytestmark = pytest.mark.uncounted

HERE = {"PIPELINE_MONGO_URL": "", "PIPELINE_REDIS_URL": ""}


def bench(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command with its data in this folder."""
    where = environment("", "", data_dir=folder / "data")
    return ended(["bench", *arguments], {k: v for k, v in where.items() if k not in HERE}, 240)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder in which one run has been made."""
    folder = tmp_path_factory.mktemp("bench")
    done = bench(
        folder, "run", "throughput", "rates", "--events", "1500", "--repeat", "1",
        "--out", str(folder / "result.json"),
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    return folder


def test_what_was_measured_is_kept_and_shown(folder: Path) -> None:
    """The same figures in the file and in the terminal."""
    kept = json.loads((folder / "result.json").read_text())
    by = {(run["scenario"], run.get("offered_per_second")): run for run in kept["runs"]}
    bulk = by["throughput", None]
    assert bulk["sent"] == bulk["events"] == 1500
    assert bulk["passed"]
    assert {one["process"] for one in bulk["usage"]} >= {
        "mongod", "redis-server", "sender", "sweeper", "worker-1", "worker-2",
    }  # fmt: skip
    assert bulk["cost"]["mongodb_operations"]["insert"] > 1500
    assert bulk["cost"]["redis_commands"] > 0
    for rate in (50.0, 200.0, 1000.0):
        single = by["rates", rate]
        end_to_end = single["latency"]["end_to_end"]
        assert end_to_end["count"] == single["events"] == rate * 2
        assert 0 < end_to_end["p50"] <= end_to_end["p99"] <= end_to_end["max"]
        assert single["latency"]["wait"]["p50"] < end_to_end["p50"]
    assert kept["environment"]["write_concern"] == "majority, journaled, 1 member"
    shown = bench(folder, "show", str(folder / "result.json"))
    assert shown.returncode == 0
    assert f"{1500 / bulk['seconds']:,.1f}".removesuffix(".0") in shown.stdout


def test_events_of_a_file_are_measured_with_the_handlers_of_its_owner(tmp_path: Path) -> None:
    """And what they are is told."""
    events = in_order(Workload(source=SYNTHETIC, events=400))
    path, kept = tmp_path / "traffic.ndjson.gz", tmp_path / "result.json"
    path.write_bytes(gzip.compress("".join(f"{e.model_dump_json()}\n" for e in events).encode()))
    done = bench(
        tmp_path, "run", "throughput", "--data", str(path), "--repeat", "1", "--out", str(kept)
    )
    assert done.returncode == 0, done.stderr
    (run,) = json.loads(kept.read_text())["runs"]
    assert (run["sent"], run["variant"]) == (400, {"data": "traffic.ndjson.gz"})
    assert run["reliability"]["errors"] == 0


def test_of_a_call_that_is_ended_early_the_runs_that_were_made_are_kept(tmp_path: Path) -> None:
    """And the result says that it was not run to its end; no server is left running."""
    kept, where = tmp_path / "result.json", environment("", "", data_dir=tmp_path / "data")
    command = [
        "bench", "run", "throughput", "--events", "500", "--repeat", "100", "--out", str(kept),
    ]  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-m", "workers", *command],
        env={name: value for name, value in where.items() if name not in HERE},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        said = iter(process.stderr.readline, "")
        assert next(line for line in said if "runs made" in line) == (
            "1 of 100 runs made: throughput 1\n"
        )
        process.terminate()
        printed, last = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "all processes are stopped" in last
    assert "not run to its end" in printed
    result = json.loads(kept.read_text())
    assert "ended_at" not in result
    assert 1 <= len(result["runs"]) < 100
    assert result["runs"][0]["events"] == 500
    left = tmp_path / "data" / "bench"
    assert [kind.running_pid(left) for kind in (EmbeddedMongo, EmbeddedRedis)] == [None, None]


def test_scenarios_are_listed_for_people_and_programs(tmp_path: Path) -> None:
    """Each with its question."""
    said = bench(tmp_path, "list")
    assert "leases" in said.stdout
    found = json.loads(bench(tmp_path, "list", "--json").stdout)
    assert {"throughput", "locks", "disorder"} < {one["name"] for one in found}
    assert all(one["question"].endswith("?") for one in found)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "sped"], "there is no scenario 'sped'; there are throughput"),
        (["run", "--data", "none.ndjson"], "none.ndjson can't be read"),
        (["run", "--data", "pyproject.toml"], "line 1 is no event"),
        (["show", "none.json"], "none.json can't be read"),
        (["show", "pyproject.toml"], "pyproject.toml is no result of a benchmark"),
    ],
)
def test_what_cant_be_done_is_said_in_one_sentence(
    tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    """With the status of wrong usage."""
    done = bench(tmp_path, *arguments)
    assert done.returncode == 2
    assert sentence in " ".join(done.stderr.split())
