"""Modules that are loaded when they are first used."""

import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from benchmarks.cli import register
from benchmarks.cli.extra import Lazy

ASKED_FOR_HELP = """
import sys
import typer
from typer.testing import CliRunner
from benchmarks.cli import register
app = typer.Typer()
register(app)
assert CliRunner().invoke(app, ["--help"]).exit_code == 0
sys.exit("benchmarks.scenarios" in sys.modules)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder that modules are found in."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_module_is_loaded_by_its_first_use(folder: Path) -> None:
    """And not before, which is all it is for."""
    (folder / "used_late.py").write_text("answer = 42")
    module = Lazy("used_late")
    assert "used_late" not in sys.modules
    assert module.answer == 42
    assert "used_late" in sys.modules


def test_a_package_that_is_missing_ends_the_command_with_what_to_install(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Named, with the status of wrong usage."""
    (folder / "used_never.py").write_text("import numpi_is_not_there")
    with pytest.raises(typer.Exit) as ended:
        _ = Lazy("used_never").answer
    assert ended.value.exit_code == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "numpi_is_not_there is missing; pip install 'event-pipeline[bench]'" in said


def test_the_command_line_loads_no_scenario_before_it_is_asked_for_one() -> None:
    """Every worker reads the command line, and none of them measures anything."""
    assert subprocess.run([sys.executable, "-c", ASKED_FOR_HELP], check=False).returncode == 0


def test_commands_of_the_benchmark_are_found_and_a_misspelt_one_is_told() -> None:
    """As those of any other group."""
    app = typer.Typer()
    register(app)
    listed = CliRunner().invoke(app, ["bench", "--help"]).output
    for name in ("list", "run", "show", "report", "compare", "predict"):
        assert f" {name} " in listed
    wrong = CliRunner().invoke(app, ["bench", "raport"])
    assert wrong.exit_code == 2
    assert "Did you mean 'report'?" in wrong.output
