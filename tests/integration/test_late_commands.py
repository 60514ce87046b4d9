"""`pipeline late …` as a person and a program use it."""

from collections.abc import Callable, Iterator

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from tests.facts import Document, fact
from tests.integration import numbered_handlers
from tests.integration.command_line import CommandLine
from tests.integration.harness import Harness
from workers.cli import events, late
from workers.cli.context import Exit


@pytest.fixture
def run(command_line: Callable[..., CommandLine]) -> CommandLine:
    """Give the command line on real servers."""
    return command_line(late, events, handlers=(numbered_handlers.__name__,))


@pytest.fixture
def steps(mongo: MongoClient[Document], database: Database[Document]) -> Iterator[Harness]:
    """Give a pipeline in which one event came late, one is missing, and one came twice."""
    harness = Harness(mongo, database.name, numbered_handlers.ALL)
    harness.process(*(fact(f"n{n}", n, type="note.taken") for n in (1, 3)))
    harness.process(fact("n2", 1.5, type="note.taken"))
    harness.process(fact("n2", 1.5, type="note.taken"))
    harness.process(fact("s7", 7, type="step.taken", tenant="beta", seq=7))
    yield harness
    harness.store.database.client.drop_database(database.name)


@pytest.mark.usefixtures("steps")
def test_a_program_gets_both_events_and_all_that_is_known(run: CommandLine) -> None:
    """The newest first unless told otherwise, as many as are asked for."""
    late_one, gap = run.json("late", "list", "--oldest-first")
    assert late_one == {
        "mark": "late",
        "tenant": "acme",
        "handler": "notes.apply",
        "document": "acme:T1",
        "late_ms": 90_000,
        "refolded": 1,
        "applied_at": "2024-06-01T00:00:00+00:00",
        "event": {
            "key": "n2@acme/desk",
            "event_id": "n2",
            "type": "note.taken",
            "seq": None,
            "occurred_at": "2024-05-01T12:01:30+00:00",
            "received_at": "2024-06-01T00:00:00+00:00",
        },
        "seen": {
            "key": "n3@acme/desk",
            "event_id": "n3",
            "type": "note.taken",
            "seq": None,
            "occurred_at": "2024-05-01T12:03:00+00:00",
            "received_at": "2024-06-01T00:00:00+00:00",
        },
    }
    assert (gap["mark"], gap["late_ms"], gap["seen"], gap["event"]["seq"]) == ("gap", None, None, 7)
    assert run.json("late", "list") == [gap, late_one]
    assert run.json("late", "list", "--limit", "1") == [gap]
    assert run.json("late", "list", "--mark", "late", "--tenant", "acme") == [late_one]
    assert run.json("late", "list", "--handler", "steps.apply") == [gap]
    assert run.json("late", "list", "--until", "2024-01-01") == []


@pytest.mark.usefixtures("steps")
def test_a_person_reads_how_late_it_was_in_words(run: CommandLine) -> None:
    """With both events by key, type and time."""
    told = run.text("late", "list")
    for words in ("1 min 30 s", "n2@acme/desk", "n3@acme/desk", "2024-05-01 12:03:00", "1 row"):
        assert words in told
    assert "step.taken, number 7" in told
    assert "late by 1 min 30 s of event time" in run.text("trace", "n2")
    assert "the number before it was missing" in run.text("trace", "s7")


@pytest.mark.usefixtures("steps")
def test_counts_are_by_tenant_and_handler_with_copies_by_tenant(run: CommandLine) -> None:
    """The same for a program and a person."""
    nothing = {"late": 0, "tie": 0, "gap": 0, "duplicates": 0, "conflicts": 0, "lateness": None}
    copies = {"tenant": "acme", "handler": None, **nothing, "duplicates": 1}
    lateness = {"p50": 90_000, "p99": 90_000, "max": 90_000}
    acme = {"tenant": "acme", "handler": "notes.apply", **nothing, "late": 1, "lateness": lateness}
    beta = {"tenant": "beta", "handler": "steps.apply", **nothing, "gap": 1}
    assert run.json("late", "counts") == [copies, acme, beta]
    assert run.json("late", "counts", "--handler", "steps.apply") == [beta]
    assert "1 min 30 s" in run.text("late", "counts")


def test_where_nothing_came_out_of_order_that_is_said(run: CommandLine) -> None:
    """An empty list for a program, and success."""
    assert run.json("late", "list") == run.json("late", "counts") == []
    assert "nothing came out of order" in run.text("late", "list")
    assert "nothing came out of order or twice" in run.text("late", "counts")


@pytest.mark.parametrize(
    "arguments",
    [
        ("list", "--mark", "lost"),
        ("list", "--since", "some day"),
        ("list", "--limit", "0"),
        ("list", "--tenant", ""),
        ("counts", "--until", "never"),
        ("counts", "--handler", "a|b"),
    ],
)
def test_what_cannot_be_understood_is_wrong_usage(
    run: CommandLine, arguments: tuple[str, ...]
) -> None:
    """Before any server is asked."""
    assert run("late", *arguments).exit_code == Exit.USAGE
