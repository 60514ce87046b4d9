"""`pipeline undo`, `redo` and `effects outdated` as a person and a program use them."""

from collections.abc import Callable, Iterator

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from redis import Redis
from rq.registry import FailedJobRegistry

from tests.facts import Document, fact
from tests.integration import sample_handlers, shop_handlers
from tests.integration.command_line import CommandLine
from tests.integration.letters import Letters
from tests.integration.sample_handlers import ALL, broken
from tests.integration.shop_handlers import sent
from workers.cli import effects, events, undo
from workers.cli.context import Exit


@pytest.fixture
def run(command_line: Callable[..., CommandLine]) -> CommandLine:
    """Give the command line on real servers."""
    return command_line(
        undo, effects, events, handlers=(sample_handlers.__name__, shop_handlers.__name__)
    )


@pytest.fixture
def pipeline(
    mongo: MongoClient[Document], database: Database[Document], redis_server: Redis
) -> Iterator[Letters]:
    """Give a pipeline with tickets, and orders that send mails; three events have come."""
    broken.clear()
    sent.clear()
    handlers = (*ALL, shop_handlers.apply_order, shop_handlers.mail)
    given = Letters(mongo, database.name, redis_server, handlers=handlers, max_attempts=1)
    given.process(fact("e1", 1, owner="ann", points=5), fact("e2", 2, owner="bob"))
    given.process(
        fact("o1", 1, type="order.changed", entity_id="O1", status="paid"),
        fact("o2", 2, type="order.changed", entity_id="O1", status="shipped"),
    )
    yield given
    broken.clear()


def test_an_undo_shows_what_would_change_and_asks(run: CommandLine, pipeline: Letters) -> None:
    """No is no; nothing has changed."""
    before = pipeline.everything()
    done = run("undo", "e2", said="n\n")
    assert done.exit_code == Exit.FAILED
    said = " ".join(done.output.split())
    assert "tickets acme:T1 │ owner │ bob │ ann" in said
    assert "owner_totals acme:bob │ │ │ removed" in said
    assert "undo it?" in said
    assert "nothing was changed" in said
    assert pipeline.everything() == before


def test_an_undo_that_is_meant_is_done(run: CommandLine, pipeline: Letters) -> None:
    """And told by the trace, with the reason."""
    said = run.text("undo", "e2", "--reason", "a [test] order", said="y\n")
    assert "✓ e2@acme/desk is undone" in said
    assert pipeline.document("tickets", "acme:T1")["owner"] == "ann"
    told = run.text("trace", "e2")
    assert "undone" in told
    assert "a [test] order" in told
    assert "tickets.apply ✗ undone" in told


def test_a_dry_run_asks_nothing_and_changes_nothing(run: CommandLine, pipeline: Letters) -> None:
    """For people and programs."""
    before = pipeline.everything()
    assert "nothing was changed yet" in run.text("undo", "e2", "--dry-run")
    told = run.json("undo", "e2", "--dry-run")
    assert told["dry_run"]
    assert {one["table"] for one in told["documents"]} == {"tickets", "owner_totals"}
    assert pipeline.everything() == before


def test_a_program_says_yes_and_reads_what_was_done(run: CommandLine, pipeline: Letters) -> None:
    """One document of JSON."""
    told = run.json("undo", "e2", "--yes")
    assert (told["event"], told["dry_run"], told["undone_before"]) == (
        "e2@acme/desk",
        False,
        False,
    )
    assert run.json("undo", "e2", "--yes")["undone_before"]
    assert pipeline.document("tickets", "acme:T1")["owner"] == "ann"
    told = run.json("trace", "e2")[0]
    assert told["voided"]["reason"] == ""
    assert told["steps"][0]["state"] == "voided"


def test_undoing_twice_and_redoing_twice_say_so(run: CommandLine, pipeline: Letters) -> None:
    """Neither asks nor changes anything."""
    assert "is not undone; nothing was changed" in run.text("redo", "e2")
    run.text("undo", "e2", "--yes")
    said = run.text("undo", "e2")
    assert "is undone already" in said
    assert "undo it?" not in said
    assert "comes again, through tickets.apply" in run.text("redo", "e2")
    pipeline.work()
    assert pipeline.document("tickets", "acme:T1")["owner"] == "bob"
    assert run.json("redo", "e2") == {
        "event": "e2@acme/desk",
        "redone": False,
        "handlers": [],
        "requeued": 0,
    }


@pytest.mark.parametrize("command", ["undo", "redo"])
def test_an_event_that_is_not_stored_is_not_found(
    run: CommandLine, pipeline: Letters, command: str
) -> None:
    """A sentence, and exit status 1."""
    done = run(command, "e9")
    assert done.exit_code == Exit.FAILED
    assert "no event 'e9' is stored" in done.output


def test_effects_that_are_out_are_shown_and_listed(run: CommandLine, pipeline: Letters) -> None:
    """Before the undo and after it."""
    assert "no effect would be different" in run.text("effects", "outdated")
    said = run.text("undo", "o1", "--dry-run")
    assert "effects can't be taken back" in said
    assert "o1@acme/desk │ shop.mail │ done" in said
    assert "would be different now o2" not in run.text("trace", "o2")
    said = run.text("undo", "o1", "--yes")
    assert "1 of its effects stay done: shop.mail" in said
    said = run.text("effects", "outdated", "--tenant", "acme")
    assert "o1@acme/desk" in said
    assert "o2@acme/desk" in said
    told = run.json("effects", "outdated", "--limit", "1", "--handler", "shop.mail")
    assert [(one["event"], one["outdated_by"]) for one in told] == [
        ("o1@acme/desk", "o1@acme/desk")
    ]
    assert "would be different now, since o1@acme/desk" in run.text("trace", "o2")
    assert len(sent) == 2


def test_the_dead_letter_of_an_undone_event_is_gone_from_rq_too(
    run: CommandLine, pipeline: Letters
) -> None:
    """Nobody is asked to look at it any more."""
    pipeline.bury(fact("e3", 3))
    assert pipeline.shelf(FailedJobRegistry)
    run.text("undo", "e3", "--yes")
    assert not pipeline.shelf(FailedJobRegistry)
    assert pipeline.letters() == []
    broken.clear()
    run.text("redo", "e3")
    pipeline.work()
    assert pipeline.states(fact("e3", 3))["tickets.apply"] == "done"


def test_what_falls_with_an_event_is_shown(run: CommandLine, pipeline: Letters) -> None:
    """With the error it fails of."""
    pipeline.process(fact("e3", 3, status="open"), fact("e4", 4, needs="open"))
    said = run.text("undo", "e3", "--dry-run")
    assert "fail without it" in said
    assert "e4@acme/desk │ tickets.apply │ the ticket is not open" in said
    assert "1 events fail without it" in run.text("undo", "e3", "--yes")
