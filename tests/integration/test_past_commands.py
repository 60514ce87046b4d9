"""`pipeline query --as-of` and `pipeline history` as a person and a program use them."""

import json
from typing import Any

import pytest
import typer
from pymongo import MongoClient
from pymongo.database import Database
from redis import Redis
from typer.testing import CliRunner, Result

from tests.facts import Document, fact
from tests.integration.harness import Harness
from workers.cli import tables
from workers.cli.context import Exit


@pytest.fixture
def harness(
    mongo: MongoClient[Document],
    database: Database[Document],
    redis_server: Redis,
    monkeypatch: pytest.MonkeyPatch,
    mongo_url: str,
    redis_url: str,
) -> Harness:
    """Give a ticket with three events, and the command line's settings for where it is."""
    monkeypatch.setenv("PIPELINE_MONGO_URL", mongo_url)
    monkeypatch.setenv("PIPELINE_REDIS_URL", redis_url)
    monkeypatch.setenv("PIPELINE_DATABASE", database.name)
    monkeypatch.setenv("PIPELINE_HANDLERS", "tests.integration.sample_handlers")
    monkeypatch.setenv("COLUMNS", "200")
    harness = Harness(mongo, database.name)
    harness.process(fact("e1", 1, status="open"), fact("e3", 3, status="[shut]"))
    harness.process(fact("e2", 2, owner="ann"))
    return harness


def run(*arguments: str) -> Result:
    """Run one command within this process."""
    app = typer.Typer()
    tables.register(app)
    return CliRunner().invoke(app, arguments)


def read(*arguments: str) -> Any:
    """Run one command with --json and read what it printed."""
    done = run(*arguments, "--json")
    assert done.exit_code == Exit.OK, done.output
    return json.loads(done.stdout)


def words(*arguments: str) -> str:
    """What one command prints for people, in single spaces."""
    done = run(*arguments)
    assert done.exit_code == Exit.OK, done.output
    return " ".join(done.output.split())


def test_a_query_as_of_a_moment_shows_what_was_then(harness: Harness) -> None:
    """By key and by tenant, and the title says when."""
    then = ("query", "tickets", "--as-of", "2024-05-01T12:02:30Z")
    (found,) = read(*then, "--key", "acme:T1")
    assert (found["status"], found["owner"]) == ("open", "ann")
    assert found["_sync"]["valid_to"] == "2024-05-01T12:03:00+00:00"
    assert read(*then, "--tenant", "acme", "status=open") == [found]
    assert read(*then, "--tenant", "other") == []
    shown = words(*then)
    assert "tickets as of 2024-05-01 12:02:30: 1 shown" in shown
    assert "_sync" not in shown


def test_a_history_shows_each_change_with_its_event(harness: Harness) -> None:
    """Old and new values, also such as look like markup."""
    first, second, third = read("history", "tickets", "acme:T1")
    assert (first["created"], first["changed"]["status"]) == (True, {"old": None, "new": "open"})
    assert (second["event"], second["created"]) == ("e2@acme/desk", False)
    assert second["changed"] == {"owner": {"old": "nobody", "new": "ann"}}
    assert (second["valid_from"], second["valid_to"]) == (first["valid_to"], third["valid_from"])
    assert third["valid_to"] is None
    shown = words("history", "tickets", "acme:T1")
    assert "owner nobody → ann" in shown
    assert "status open → [shut]" in shown
    assert "now" in shown


def test_a_history_that_is_cut_off_says_how_to_go_on(harness: Harness) -> None:
    """With the option as it is to be typed."""
    shown = words("history", "tickets", "acme:T1", "--limit", "2")
    assert "the first 2; for more: --since 2024-05-01T12:02:00+00:00" in shown
    rest = read("history", "tickets", "acme:T1", "--since", "2024-05-01T12:02:00+00:00")
    assert [row["event"] for row in rest] == ["e2@acme/desk", "e3@acme/desk"]
    until = read("history", "tickets", "acme:T1", "--until", "2024-05-01T12:02:00Z")
    assert [row["event"] for row in until] == ["e1@acme/desk"]


def test_what_has_no_past_is_told_in_a_sentence(harness: Harness) -> None:
    """And a moment that is none is wrong usage."""
    refused = run("query", "owner_totals", "--as-of", "2h")
    assert (refused.exit_code, "is derived" in refused.output) == (Exit.FAILED, True)
    assert run("history", "tickets", "T1").exit_code == Exit.FAILED
    wrong = run("query", "tickets", "--as-of", "yesterday")
    assert wrong.exit_code == Exit.USAGE
    assert "is no moment" in wrong.output
