"""Runbooks name commands and settings that there are, and links lead somewhere."""

import re
from typing import Any

import pytest
import typer

from dashboards.pages import PAGES
from pipeline.settings import Settings
from tests.monitoring.composed import ROOT
from workers.cli.main import app

RUNBOOKS = sorted((ROOT / "docs" / "runbooks").iterdir())
FROM_ELSEWHERE = {"bench"}
"""Commands that come by an entry point."""


@pytest.mark.parametrize("name", [file.name for file in RUNBOOKS])
def test_what_a_runbook_tells_to_type_can_be_typed(name: str) -> None:
    """Commands with their options, and settings."""
    text = (ROOT / "docs" / "runbooks" / name).read_text()
    for words in re.findall(r"`pipeline ([^`]+)`", text):
        _ensure_command(words.split())
    settings = {f"PIPELINE_{field.upper()}" for field in Settings.model_fields}
    assert set(re.findall(r"PIPELINE_[A-Z_]+", text)) <= settings


def test_every_runbook_that_is_named_in_another_is_there() -> None:
    """And none is kept of an alert that is gone, which test_rules looks at from the other side."""
    names = {file.stem for file in RUNBOOKS}
    for file in RUNBOOKS:
        assert set(re.findall(r"\bPipe[A-Z]\w+", file.read_text())) <= names, file.name


def _ensure_command(words: list[str]) -> None:
    command: Any = typer.main.get_command(app)
    if words[0] in FROM_ELSEWHERE:
        return
    while hasattr(command, "commands"):
        found = command.commands.get(words.pop(0))
        assert found is not None, words
        command = found
    known = {option for one in command.params for option in one.opts}
    given = {word for word in words if word.startswith("--")}
    assert given <= known, (command.name, given - known)


def test_every_link_into_the_console_leads_to_a_page() -> None:
    """Of rules, dashboards and runbooks; what stands behind a question mark is a filter."""
    served = {route.path for page in PAGES for route in page.router.routes}
    boards = ROOT / "dashboards"
    written = [*boards.glob("prometheus/*.yml"), *boards.glob("grafana/boards/*.json")]
    links = {
        link
        for file in [*written, *RUNBOOKS]
        for link in re.findall(r"/ops/[\w/-]*", file.read_text())
    }
    assert len(links) > 5
    assert links <= served
