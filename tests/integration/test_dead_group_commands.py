"""`pipeline dead groups`, `acknowledge`, `ignore` and `reopen` as persons and programs use them."""

from collections.abc import Callable, Iterator

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from redis import Redis

from pipeline.metrics.catalogue import OPERATOR_ACTIONS
from pipeline.metrics.counts import field_of
from pipeline.queue import totals
from tests.facts import Document, fact
from tests.integration.command_line import CommandLine
from tests.integration.letters import Letters, tickets
from tests.integration.sample_handlers import broken
from workers.cli import dead
from workers.cli.context import Exit

SCRIPT = "\x1b[31m[red]x"


@pytest.fixture
def run(command_line: Callable[..., CommandLine]) -> CommandLine:
    """Give the command line on real servers."""
    return command_line(dead)


@pytest.fixture
def pipeline(
    mongo: MongoClient[Document], database: Database[Document], redis_server: Redis
) -> Iterator[Letters]:
    """Bury three events of one cause, and one of another that steers terminals."""
    broken.clear()
    pipeline = Letters(mongo, database.name, redis_server, max_attempts=1)
    pipeline.bury(*tickets(3))
    pipeline.submit(fact("odd", tenant="beta", entity_id="B", needs=SCRIPT))
    pipeline.settle()
    yield pipeline
    broken.clear()


def test_groups_are_listed_with_how_they_stand(run: CommandLine, pipeline: Letters) -> None:
    """By handler, error and signature; filtered; and only the open ones."""
    text = run.text("dead", "groups")
    assert "RuntimeError: told to fail on e#" in text
    assert "✗ new" in text
    assert "\x1b" not in text
    group = _id(run)
    assert run.json("dead", "acknowledge", group[:6], "--note", "[red]ann")["group"] == group
    assert "◐ acknowledged" in run.text("dead", "groups")
    assert "[red]ann" in run.text("dead", "groups")
    assert "told to fail" not in run.text("dead", "groups", "--open")
    assert [one["standing"] for one in run.json("dead", "groups", "--tenant", "acme")] == [
        "acknowledged"
    ]
    assert len(run.json("dead", "groups", "--error", "ValueError")) == 1
    assert "no groups" in run.text("dead", "groups", "--handler", "none")
    assert run.json("dead", "groups", "--handler", "none") == []


def test_what_was_said_is_taken_back_and_noted(
    run: CommandLine, pipeline: Letters, redis_server: Redis
) -> None:
    """With who said it; counted for Prometheus; and no letter is changed."""
    group = _id(run)
    assert f"pipeline dead reopen {group}" in run.text("dead", "ignore", group)
    assert run.json("dead", "ignore", group, "--forever")["said"] == "ignored"
    assert "is new again" in run.text("dead", "reopen", group)
    assert run.json("dead", "reopen", group) == {"group": group, "reopened": False}
    notes = pipeline.store.records.audit.newest(limit=10)
    assert [(note.action, note.role, note.outcome) for note in notes] == [
        ("reopen", "command line", "nothing was said about it"),
        ("reopen", "command line", "reopened"),
        ("ignore", "command line", "ignored"),
        ("ignore", "command line", "ignored until again"),
    ]
    told = totals.read(redis_server).totals
    counted = {action: told.get(field_of(OPERATOR_ACTIONS.name, (action,))) for action in ACTIONS}
    assert counted == {"acknowledge": None, "ignore": 2, "reopen": 1}
    assert len(pipeline.dead()) == 4


def test_the_letters_of_a_group_are_listed_and_requeued(
    run: CommandLine, pipeline: Letters
) -> None:
    """By the signature that the list of groups shows."""
    given = ("--handler", "tickets.apply", "--signature", "told to fail on e#")
    assert len(run.json("dead", "list", *given)) == 3
    assert run.json("dead", "requeue", *given, "--yes")["requeued"] == 3
    assert pipeline.dead() == ["odd"]


ACTIONS = ("acknowledge", "ignore", "reopen")


def test_a_group_that_is_not_known_is_said_to_be_none(run: CommandLine, pipeline: Letters) -> None:
    """As is a beginning that several groups have; nothing is changed."""
    for command in ACTIONS:
        done = run("dead", command, "zzzz")
        assert (done.exit_code, "pipeline dead groups shows" in done.output) == (Exit.FAILED, True)
    done = run("dead", "acknowledge", "")
    assert (done.exit_code, "may be" in done.output) == (Exit.FAILED, True)
    assert run("dead", "ignore", _id(run), "--note", "x" * 501).exit_code == Exit.FAILED
    assert pipeline.store.records.stances.all() == {}


def _id(run: CommandLine) -> str:
    (one,) = run.json("dead", "groups", "--error", "RuntimeError")
    group: str = one["id"]
    return group
