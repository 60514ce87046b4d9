"""`pipeline verify` and `pipeline replay` as a person and a program use them."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from redis import Redis

from pipeline.queue import Heartbeats
from tests.acceptance.conftest import wait_for
from tests.facts import Document, fact, lose_payload
from tests.integration.command_line import CommandLine
from tests.integration.conftest import SAMPLE
from tests.integration.sample_handlers import broken
from tests.integration.verifying import Verifying
from tests.processes import environment
from workers.cli import verification
from workers.cli.context import Exit


@pytest.fixture
def run(command_line: Callable[..., CommandLine]) -> CommandLine:
    """Give the command line on real servers."""
    return command_line(verification)


@pytest.fixture
def pipeline(
    mongo: MongoClient[Document], database: Database[Document], redis_server: Redis
) -> Iterator[Verifying]:
    """Give a pipeline with two tickets, of which one has three events."""
    broken.clear()
    pipeline = Verifying(mongo, database.name)
    pipeline.process(
        fact("e1", 1, owner="ann", add=1),
        fact("e2", 2, status="open", add=2),
        fact("e3", 3, owner="bob"),
        fact("f1", 1, entity_id="T2", tenant="beta", add=5),
    )
    yield pipeline
    broken.clear()


def test_all_that_is_right_is_said_to_be(pipeline: Verifying, run: CommandLine) -> None:
    """Everything, a part, and one entity; by the command itself where no worker is running."""
    assert "all is as its events make it" in run.text("verify", "--all")
    assert "all is as its events make it" in run.text("verify", "--id", "acme:T1")
    assert "all is as its events make it" in run.text("replay", "--id", "acme:T1")
    events = [run.json("verify", "--hash", f"{number}/4")["events"] for number in range(4)]
    assert sorted(events)[-2:] in ([1, 3], [0, 4])
    assert sum(events) == 4


def test_errors_are_named_changes_shown_and_updates_made(
    pipeline: Verifying, run: CommandLine
) -> None:
    """The same command in three modes."""
    before = pipeline.domain()
    pipeline.store.database.tickets.update_one({"_id": "acme:T1"}, {"$set": {"points": 70}})
    named = run("replay", "--id", "acme:T1", "--mode", "errors")
    assert named.exit_code == Exit.FAILED
    assert "different points" in named.output
    assert "70" not in named.output.partition("looked at")[2]
    shown = run("replay", "--id", "acme:T1")
    assert shown.exit_code == Exit.FAILED
    assert [word for word in shown.output.split() if word.isalnum()][-3:] == ["points", "3", "70"]
    assert pipeline.document("tickets", "acme:T1")["points"] == 70
    updated = run("replay", "--id", "acme:T1", "--mode", "update")
    assert updated.exit_code == Exit.OK
    assert "1 put right" in updated.output
    assert pipeline.domain() == before


def test_a_derived_document_is_put_right_with_the_entity(
    pipeline: Verifying, run: CommandLine
) -> None:
    """It is what all its contributions come to, those of other entities too."""
    before = pipeline.domain()
    pipeline.store.database.tenant_totals.update_one({"_id": "acme"}, {"$inc": {"tickets": 4}})
    assert run("verify", "--id", "acme:T1").exit_code == Exit.FAILED
    assert run("verify", "--id", "acme:T1", "--mode", "update").exit_code == Exit.OK
    assert pipeline.domain() == before


def test_everything_is_put_right_with_one_command(pipeline: Verifying, run: CommandLine) -> None:
    """And nothing is found afterwards."""
    before = pipeline.domain()
    database = pipeline.store.database
    database.tickets_changes.delete_many({"key": "acme:T1"})
    database.owner_totals.delete_one({"_id": "acme:ann"})
    found = run.json("verify", "--all", "--mode", "update")
    assert found["wrong"] == {"owner_totals": 1, "tickets_changes": 3}
    assert found["repaired"] == 2
    assert run.json("verify", "--all")["clean"]
    assert pipeline.domain() == before


def test_what_cant_be_told_has_a_status_of_its_own(pipeline: Verifying, run: CommandLine) -> None:
    """It is not fine, and not known to be wrong."""
    lose_payload(pipeline.store.database, "f1@beta/desk")
    found = run("verify", "--all")
    assert found.exit_code == Exit.PARTLY
    assert "can't be told" in found.output
    assert "stored no longer" in " ".join(found.output.split())


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ((), Exit.USAGE, "one of --all"),
        (("--all", "--id", "a:b"), Exit.USAGE, "one of --all"),
        (("--hash", "4/4"), Exit.USAGE, "0/16 to 15/16"),
        (("--hash", "foo"), Exit.USAGE, "0/16 to 15/16"),
        (("--id", "nobody"), Exit.USAGE, "TENANT:ID"),
        (("--id", "acme:T9"), Exit.FAILED, "no event of an entity 'T9' of 'acme'"),
        (("--resume", "v-none"), Exit.FAILED, "there is no verification 'v-none'"),
    ],
)
def test_what_cant_be_done_is_said_in_one_sentence(
    pipeline: Verifying, run: CommandLine, arguments: tuple[str, ...], status: Exit, said: str
) -> None:
    """With a status that says whose fault it is."""
    done = run("verify", *arguments)
    assert done.exit_code == status
    assert said in " ".join(done.output.split())


def test_a_verification_goes_on_without_who_asked_for_it(
    pipeline: Verifying, run: CommandLine
) -> None:
    """Nobody waits, and later somebody looks."""
    done = run("verify", "--all", "--no-wait", "--json")
    assert done.exit_code == Exit.UNFINISHED
    begun = json.loads(done.stdout)
    assert begun["ended_at"] is None
    assert (begun["status"], begun["clean"]) == ("unfinished", False)
    ended = run.json("verify", "--resume", begun["verification"])
    assert (ended["events"], ended["status"], ended["clean"]) == (4, "right", True)


def test_what_was_not_looked_at_is_not_called_right(
    pipeline: Verifying, run: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever stops waiting is told that it goes on, by the status too."""
    pipeline.store.database.tickets.update_many({}, {"$set": {"status": "lost"}})
    begun = run("verify", "--all", "--no-wait")
    assert begun.exit_code == Exit.UNFINISHED
    assert "all is as its events make it" not in begun.output

    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(verification, "_do_some", interrupt)
    left = run("verify", "--all")
    assert left.exit_code == Exit.UNFINISHED
    assert "not done: 0 of 1 units" in " ".join(left.output.split())


def test_what_could_not_be_put_right_has_the_status_of_what_is_wrong(
    pipeline: Verifying, run: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In words and for programs, of everything and of one entity."""
    pipeline.store.database.tenant_totals.update_many({}, {"$inc": {"tickets": 4}})

    def refuse(*_args: object, **_kwargs: object) -> bool:
        raise ValueError("not this one")

    with monkeypatch.context() as patched:
        patched.setattr("pipeline.verification.repairing.mend", refuse)
        words = run("verify", "--all", "--mode", "update")
        assert words.exit_code == Exit.FAILED
        assert "2 not put right" in words.output
        for scope, count in ((("--all",), 2), (("--id", "acme:T1"), 1)):
            done = run("verify", *scope, "--mode", "update", "--json")
            assert done.exit_code == Exit.FAILED
            report = json.loads(done.stdout)
            told = report["status"], report["clean"], report["repaired"], report["unrepaired"]
            assert told == ("wrong", False, 0, count)
    assert run.json("verify", "--all", "--mode", "update")["status"] == "repaired"


def test_workers_do_it_where_there_are_any(
    pipeline: Verifying, run: CommandLine, mongo_url: str, redis_url: str
) -> None:
    """As jobs on their lane; the record of runs says who."""
    name = pipeline.store.database.name
    worker = subprocess.Popen(
        [sys.executable, "-m", "workers", "worker"],
        env=environment(mongo_url, redis_url, database=name, handlers=SAMPLE[0]),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with Redis.from_url(redis_url) as client:
            wait_for(Heartbeats(client, 10).running, "the worker beats")
        assert run.json("verify", "--all")["clean"]
    finally:
        worker.terminate()
        worker.wait(60)
    done = pipeline.store.database.batches.distinct("worker", {"handler": "verification.run"})
    assert done
    assert all(name.startswith("worker@") for name in done)
