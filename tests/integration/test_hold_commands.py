"""`pipeline hold …` as a person and a program use it."""

from collections.abc import Callable

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from redis import Redis
from typer.testing import Result

from pipeline.store.policies import HoldPolicies, LockPolicies, Scope
from tests.facts import Document
from tests.integration import numbered_handlers
from tests.integration.command_line import CommandLine
from tests.integration.harness import NOW
from tests.integration.test_hold_back import APPLY, GRACE, GRACE_MS, Holding, step
from workers.cli import hold
from workers.cli.context import Exit

OFF = {"handler": None, "tenant": None, "policy": {"grace_ms": 0}, "set": []}


@pytest.fixture
def run(command_line: Callable[..., CommandLine]) -> CommandLine:
    """Give the command line on real servers."""
    return command_line(hold, handlers=(numbered_handlers.__name__,), prefix=("hold",))


def rows(told: Result) -> list[list[str]]:
    """The cells of a table, by line."""
    lines = told.stdout.splitlines()
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]


def test_nothing_waits_unless_a_grace_is_set(run: CommandLine) -> None:
    """And that is shown."""
    assert run.json("show") == [OFF]
    assert ["all", "all", "off"] in rows(run("show"))


def test_what_is_set_is_shown_and_kept_apart_from_policies_of_locks(
    run: CommandLine, database: Database[Document]
) -> None:
    """Seconds on the command line, milliseconds in the policy."""
    (changed,) = run.json("set", "--tenant", "acme", "--grace", "2.5")
    assert changed == {
        "handler": None,
        "tenant": "acme",
        "policy": {"grace_ms": 2500},
        "set": ["grace_ms"],
    }
    assert run.json("show") == [OFF, changed]
    assert run.json("show", "--tenant", "acme", "--handler", APPLY)[0]["policy"] == {
        "grace_ms": 2500
    }
    assert HoldPolicies(database).all() == {Scope(None, "acme"): {"grace_ms": 2500}}
    assert LockPolicies(database).all() == {}
    assert ["all", "acme", "2.5 s"] in rows(run("show"))


def test_what_was_set_can_be_forgotten_once(run: CommandLine) -> None:
    """Only what was set."""
    run("set", "--tenant", "acme", "--grace", "1")
    assert run("reset", "--tenant", "acme").exit_code == Exit.OK
    again = run("reset", "--tenant", "acme")
    assert (again.exit_code, "no policy is set for" in again.stderr) == (Exit.FAILED, True)
    assert run.json("show") == [OFF]


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        ((), Exit.USAGE, "grace"),
        (("--grace", "-1"), Exit.USAGE, "grace"),
        (("--grace", "3601"), Exit.USAGE, "grace"),
        (("--grace", "1", "--tenant", ""), Exit.USAGE, "is no name"),
        (("--grace", "1", "--handler", "steps.aply"), Exit.FAILED, "did you mean"),
        (("--grace", "1", "--handler", "notes.apply"), Exit.FAILED, "numbered_from="),
        (("--grace", "1", "--handler", "steps.count"), Exit.FAILED, "numbered_from="),
    ],
)
def test_what_cannot_be_set_changes_nothing(
    run: CommandLine,
    database: Database[Document],
    arguments: tuple[str, ...],
    status: Exit,
    sentence: str,
) -> None:
    """A sentence, a status, and no document."""
    done = run("set", *arguments)
    assert (done.exit_code, sentence in done.stderr) == (status, True), done.stderr
    assert HoldPolicies(database).all() == {}


def test_what_waiting_cost_is_told(
    run: CommandLine,
    mongo: MongoClient[Document],
    database: Database[Document],
    redis_server: Redis,
) -> None:
    """How many waited, what ended it, and how long it took; an empty list where none did."""
    assert run.json("cost") == []
    assert "no event was held back" in run("cost").stdout
    holding = Holding(mongo, database.name, redis_server)
    holding.process(step(2))
    holding.process(step(1, entity_id="T2", name="t1"))
    holding.process(step(0, entity_id="T2", name="t0"))
    holding.sweep(after=GRACE)
    holding.work()
    assert holding.clock.now() == NOW + GRACE
    assert run.json("cost") == [
        {
            "tenant": "acme",
            "handler": APPLY,
            "waiting": 0,
            "by_predecessor": 1,
            "by_grace": 1,
            "waited": {"p50": 0, "p99": GRACE_MS, "max": GRACE_MS},
            "held": 2,
        }
    ]
    assert run.json("cost", "--tenant", "beta") == []
    assert ["acme", APPLY, "2", "0", "1", "1", "0 s", "30 s", "30 s"] in rows(run("cost"))
