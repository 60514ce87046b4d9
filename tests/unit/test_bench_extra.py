"""Modules that are loaded when they are first used."""

import sys
from pathlib import Path

import pytest
import typer

from benchmarks.cli.extra import Lazy


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
