"""Real events of four domains in total disorder, through real workers, against the oracle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from benchmarks.sources import SOURCES, Source, SourceMissingError
from tests.acceptance.conftest import ROOT

pytestmark = pytest.mark.uncounted

EVENTS: Final = 2_000
WORKERS: Final = 2
PATIENCE: Final = 300.0
# Of stock nothing is ever late: sums don't care.
HEALED: Final = {"sepsis": True, "hotel": True, "flights": True, "stock": False}


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the benchmark to its end."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PIPELINE_")}
    if "PIPELINE_SHARED_DATA" in os.environ:
        ours["PIPELINE_SHARED_DATA"] = os.environ["PIPELINE_SHARED_DATA"]
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.disorder", *arguments],
        cwd=ROOT,
        env=ours | {"PIPELINE_DATA_DIR": str(folder), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def present(source: Source) -> bool:
    """Whether the data is on this machine."""
    try:
        return bool(source.lines(1))
    except SourceMissingError:
        return False


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Give what the runs came to, by name: one call, so that the servers are started once."""
    folder = tmp_path_factory.mktemp("disorder")
    names = [source.name for source in SOURCES if present(source)]
    chosen = [word for name in names for word in ("--data", name)]
    numbers = "--events", str(EVENTS), "--workers", str(WORKERS)
    done = run(folder / "data", *chosen, *numbers, "--json", str(folder / "figures.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Total disorder, {WORKERS} workers" in done.stdout
    return {said["data"]: said for said in json.loads((folder / "figures.json").read_text())}


@pytest.mark.parametrize("name", HEALED)
def test_tables_equal_the_oracle_after_total_disorder(figures: dict[str, Any], name: str) -> None:
    """Shuffled completely, a tenth sent twice; nothing but self-healing, no replay."""
    if name not in figures:
        pytest.skip(f"no data of {name}; see benchmarks/sources.py")
    said = figures[name]
    assert (said["differences"], said["ledger"], said["details"]) == (0, 0, [])
    assert (said["events"], said["sent"]) == (EVENTS, EVENTS + EVENTS // 10)
    assert all(said["documents"].values())
    assert (said["late"] > 0, said["healed"] > 0) == (HEALED[name], HEALED[name])


def test_data_that_is_not_there_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the setting that says where it is."""
    monkeypatch.setenv("PIPELINE_SHARED_DATA", str(tmp_path))
    refused = run(tmp_path / "data", "--data", "sepsis")
    assert refused.returncode == 2
    assert f"no {tmp_path}/sepsis.ndjson.gz; PIPELINE_SHARED_DATA names" in refused.stderr
