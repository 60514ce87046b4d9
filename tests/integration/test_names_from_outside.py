"""What others have named is printed as they named it: no command takes it for markup, or breaks."""

import json
from collections.abc import Callable

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from tests.facts import Document, fact
from tests.integration.command_line import CommandLine
from tests.integration.sample_handlers import broken
from tests.integration.verifying import Verifying
from workers.cli import dead, effects, events, late, tables, undo, verification
from workers.cli.context import Exit, cell

NAMES = ("[/x]", "a\\[bold]\\")
"""An end of no beginning breaks what reads markup, as does a backslash before its own tags."""


def shown(output: str) -> str:
    """What was printed; a backslash may stand there twice, as in Python's own words for a text."""
    return output.replace("\\\\", "\\")


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    """Give a name that reads like markup."""
    return str(request.param)


@pytest.fixture
def run(
    mongo: MongoClient[Document],
    database: Database[Document],
    command_line: Callable[..., CommandLine],
    name: str,
) -> CommandLine:
    """Give the command line on events of an entity of this name: one late, one refused."""
    pipeline = Verifying(mongo, database.name, max_attempts=1)
    broken.clear()
    broken.add(("tickets.apply", "e3"))
    pipeline.process(fact("e2", 2, entity_id=name, owner=name, status=name))
    pipeline.process(fact("e1", 1, entity_id=name, owner=name), fact("e3", 3, entity_id=name))
    broken.clear()
    return command_line(verification, events, dead, late, tables, undo, effects)


@pytest.mark.usefixtures("redis_server")
@pytest.mark.parametrize(
    "asked",
    [
        ("verify", "--id", "acme:{}"),
        ("trace", "e2"),
        ("trace", "e3"),
        ("dead", "show", "e3"),
        ("dead", "list", "--handler", "{}"),
        ("history", "tickets", "acme:{}"),
        ("query", "tickets", "--key", "acme:{}"),
        ("undo", "e2", "--dry-run"),
        ("late", "list"),
    ],
    ids=" ".join,
)
def test_a_name_that_reads_like_markup_is_shown_as_it_is(
    run: CommandLine, name: str, asked: tuple[str, ...]
) -> None:
    """Wherever it comes from: the event, the command line, a field."""
    done = run(*(word.format(name) for word in asked))
    assert done.exit_code == Exit.OK, done.output
    assert name in shown(done.output)


@pytest.mark.usefixtures("redis_server")
def test_wrong_documents_of_such_a_name_are_listed(
    run: CommandLine, database: Database[Document], name: str
) -> None:
    """With what is wrong with them, of which a field's name is a part."""
    database.tickets.update_many({}, {"$set": {name: 1}})
    done = run("verify", "--all")
    assert done.exit_code == Exit.FAILED, done.output
    assert f"acme:{name}" in shown(done.output)
    assert name in shown(run.text("query", "tickets"))


@pytest.mark.usefixtures("redis_server")
def test_a_file_of_such_a_name_that_is_not_there_is_told(run: CommandLine, name: str) -> None:
    """In a sentence."""
    done = run("ingest", name)
    assert done.exit_code == Exit.USAGE
    assert f"{name}: no such file" in shown(done.output)


def test_a_name_in_a_table_is_told_with_its_fields() -> None:
    """Those of a document, one a line."""
    assert cell({"[a]": "[/b]", "c": 1}) == "\\[a] \\[/b]\nc 1"


@pytest.mark.usefixtures("redis_server")
@pytest.mark.parametrize("spoilt", [float("nan"), float("inf"), float("-inf")])
def test_json_is_json_whatever_is_stored(
    mongo: MongoClient[Document],
    database: Database[Document],
    command_line: Callable[..., CommandLine],
    spoilt: float,
) -> None:
    """What is no number has no other word in it than null."""
    Verifying(mongo, database.name).process(fact("e1", 1))
    database.tickets.update_one({}, {"$set": {"points": spoilt, "deep": {"more": [spoilt, 1.5]}}})
    done = command_line(tables)("query", "tickets", "--json")

    def refuse(word: str) -> None:
        raise AssertionError(word)

    (row,) = json.loads(done.stdout, parse_constant=refuse)
    assert (row["points"], row["deep"]) == (None, {"more": [None, 1.5]})
