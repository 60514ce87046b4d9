"""`pipeline dead …` as a person and a program use it."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta

import pytest

from pipeline.event import Event
from tests.facts import fact
from tests.integration.command_line import CommandLine
from tests.integration.letters import Letters, job_of
from tests.integration.sample_handlers import broken
from workers.cli import dead, events, tables
from workers.cli.context import Exit

HOUR = timedelta(hours=1)


@pytest.fixture
def run(command_line: Callable[..., CommandLine]) -> CommandLine:
    """Give the command line on real servers."""
    return command_line(dead, events, tables)


@pytest.fixture
def three(pipeline: Letters) -> list[Event]:
    """Bury three events of two tenants, an hour apart; the handlers would go through now."""
    buried = [
        fact("e1", 1, status="open", word="grün"),
        fact("e2", 2, entity_id="T2"),
        fact("e3", 3, entity_id="T3", tenant="beta"),
    ]
    for event in buried:
        pipeline.bury(event)
        pipeline.clock.advance(HOUR)
    broken.clear()
    return buried


def test_the_list_shows_a_line_for_each_letter_and_what_to_do(
    run: CommandLine, three: list[Event]
) -> None:
    """Newest first; when, which event and handler, attempts, and why."""
    text = run.text("dead", "list")
    assert "3 dead letters" in text
    assert text.index("e3@beta/desk") < text.index("e2@acme/desk") < text.index("e1@acme/desk")
    assert "2024-06-01 00:00:00" in text
    assert "RuntimeError: told to fail on e1" in text
    assert "pipeline dead show" in text
    oldest_first = run.text("dead", "list", "--oldest-first")
    assert oldest_first.index("e1@acme/desk") < oldest_first.index("e3@beta/desk")


def test_the_list_says_when_it_does_not_show_all(run: CommandLine, three: list[Event]) -> None:
    """And how to see more."""
    text = run.text("dead", "list", "--limit", "2")
    assert "3 dead letters, 2 shown; --limit shows more" in text
    assert "e1@acme" not in text


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--tenant", "beta"), ["e3"]),
        (("--handler", "tickets.apply", "--tenant", "acme"), ["e2", "e1"]),
        (("--handler", "owners.count"), []),
        (("--error", "RuntimeError"), ["e3", "e2", "e1"]),
        (("--error", "ValueError"), []),
        (("--since", "2024-06-01T01:00:00Z"), ["e3", "e2"]),
        (("--since", "2024-06-01T04:00:00+03:00"), ["e3", "e2"]),
        (("--until", "2024-06-01 01:00"), ["e1"]),
        (("--until", "1h"), ["e3", "e2", "e1"]),
        (("--since", "1h"), []),
    ],
)
def test_the_list_is_filtered(
    run: CommandLine, three: list[Event], options: tuple[str, ...], expected: list[str]
) -> None:
    """For programs too, which get a list in any case."""
    assert [letter["event_id"] for letter in run.json("dead", "list", *options)] == expected


def test_without_dead_letters_the_list_says_so(run: CommandLine, pipeline: Letters) -> None:
    """With a guess at what may be wrong with the filter."""
    assert run.text("dead", "list") == "✓ no dead letters"
    assert run.text("dead", "list", "--tenant", "acme") == "✓ no dead letters match"
    text = run.text("dead", "list", "--handler", "ticket.apply")
    assert "no handler 'ticket.apply'; did you mean 'tickets.apply'?" in text


def test_a_letter_is_shown_whole(run: CommandLine, pipeline: Letters, three: list[Event]) -> None:
    """Cause, traceback, attempts, worker, payload, state, and how to go on."""
    pipeline.process(fact("e0", 0, owner="ann"))
    text = run.text("dead", "show", "e1")
    for said in (
        "tickets.apply has given up on e1@acme/desk after 1 attempt",
        "RuntimeError: told to fail on e1 while it was handled",
        "2024-06-01 00:00:00 by worker-1",
        f"job {job_of(three[0])}",
        "ticket.changed of T1, happened 2024-05-01 12:01:00",
        '"word": "grün"',
        "state before, tickets[acme:T1]",
        '"owner": "ann"',
        "Traceback (most recent call last)",
        "pipeline dead requeue e1@acme/desk --handler tickets.apply",
        "pipeline dead discard e1@acme/desk --handler tickets.apply --reason",
    ):
        assert said in text, said


def test_a_letter_of_an_observer_is_shown_with_both_sides(
    run: CommandLine, pipeline: Letters
) -> None:
    """What it was before, and what the event made of it."""
    pipeline.bury(fact("e1", status="open"), handler="owners.count")
    text = run.text("dead", "show", "e1")
    assert "state before, tickets[acme:T1] none" in text
    assert 'state after { "status": "open"' in text


def test_a_letter_as_json_holds_its_inputs(run: CommandLine, three: list[Event]) -> None:
    """Payload and state."""
    (letter,) = run.json("dead", "show", "e1@acme/desk", "--handler", "tickets.apply")
    assert letter["inputs"]["event"]["payload"] == {"status": "open", "word": "grün"}
    assert (letter["inputs"]["document"], letter["inputs"]["before"]) == ("tickets[acme:T1]", None)
    assert (letter["attempts"], letter["worker"]) == (1, "worker-1")
    assert "sample_handlers" in letter["error"]["traceback"]


def test_an_error_that_quotes_its_event_does_not_steer_the_terminal(
    run: CommandLine, pipeline: Letters
) -> None:
    """Escape sequences and markup are shown, not obeyed."""
    pipeline.submit(fact("e1", needs="\x1b[31m[bold]red[/bold]"))
    pipeline.settle()
    for command in (("dead", "list"), ("dead", "show", "e1")):
        done = run(*command)
        assert "\x1b" not in done.output
        assert "[bold]red[/bold]" in done.output


def test_what_is_not_dead_can_not_be_shown(
    run: CommandLine, pipeline: Letters, three: list[Event]
) -> None:
    """An unknown event, and one that no handler gave up on, are told apart."""
    pipeline.process(fact("good", entity_id="T9"))
    unknown, good = run("dead", "show", "nobody"), run("dead", "show", "good")
    other = run("dead", "show", "e1", "--handler", "owners.count")
    assert {unknown.exit_code, good.exit_code, other.exit_code} == {Exit.FAILED}
    assert "no event 'nobody' is stored" in unknown.stderr
    assert "no handler has given up on 'good'" in good.stderr


def test_events_that_are_named_are_requeued_without_a_question(
    run: CommandLine, pipeline: Letters, three: list[Event]
) -> None:
    """And are done; a second time there is nothing to requeue."""
    text = run.text("dead", "requeue", "e1", "e3@beta/desk")
    assert "2 dead letters requeued" in text
    pipeline.settle()
    assert pipeline.dead() == ["e2"]
    assert pipeline.document("tickets", "acme:T1")["status"] == "open"
    again = run("dead", "requeue", "e1")
    assert (again.exit_code, "no handler has given up on e1" in again.stderr) == (1, True)


def test_a_filter_shows_its_plan_and_asks(
    run: CommandLine, pipeline: Letters, three: list[Event]
) -> None:
    """How many, of which handler and error, since when; no is taken for an answer."""
    filters = ("--tenant", "acme", "--error", "RuntimeError")
    refused = run("dead", "requeue", *filters, said="n\n")
    assert refused.exit_code == Exit.FAILED
    plan = " ".join(refused.stdout.split())
    assert "tickets.apply │ RuntimeError │ 2 │ 2024-06-01 00:00:00 │ 2024-06-01 01:00:00" in plan
    assert "requeue 2 dead letters?" in refused.stderr
    assert "nothing was changed" in refused.stderr
    assert len(pipeline.letters()) == 3
    assert "2 dead letters requeued" in run.text("dead", "requeue", *filters, said="y\n")
    assert pipeline.dead() == ["e3"]


def test_no_answer_is_a_no(run: CommandLine, pipeline: Letters, three: list[Event]) -> None:
    """As from a script that forgot --yes."""
    for command in (("requeue",), ("discard", "--reason", "old")):
        assert run("dead", *command, "--all").exit_code == Exit.FAILED
    assert len(pipeline.letters()) == 3


def test_a_script_says_yes_beforehand(
    run: CommandLine, pipeline: Letters, three: list[Event]
) -> None:
    """And reads what was done."""
    done = run.json("dead", "requeue", "--all", "--limit", "2", "--yes")
    plan = done.pop("plan")
    assert [(one["handler"], one["error"], one["events"]) for one in plan] == [
        ("tickets.apply", "RuntimeError", 3)
    ]
    assert done == {
        "matching": 3,
        "dry_run": False,
        "requeued": 2,
        "left_alone": 0,
        "unknown_handler": 0,
        "redis_not_told": 0,
    }
    assert pipeline.dead() == ["e3"]


def test_a_dry_run_changes_nothing(run: CommandLine, pipeline: Letters, three: list[Event]) -> None:
    """It shows the plan, and asks nothing."""
    before = pipeline.everything()
    text = run.text("dead", "discard", "--all", "--reason", "old", "--dry-run", "--limit", "2")
    assert "2 dead letters would be discarded; nothing was changed" in text
    assert run.json("dead", "requeue", "--all", "--dry-run")["matching"] == 3
    assert "requeued" not in run.json("dead", "requeue", "e1", "--dry-run")
    assert pipeline.everything() == before


def test_a_discarded_letter_is_seen_in_the_trace(
    run: CommandLine, pipeline: Letters, three: list[Event]
) -> None:
    """With the reason, for people and for programs."""
    assert "1 dead letter discarded" in run.text("dead", "discard", "e1", "--reason", "a test")
    assert sorted(pipeline.dead()) == ["e2", "e3"]
    text = run.text("trace", "e1")
    assert "✗ given up" in text
    assert "Discarded: a test" in text
    (found,) = run.json("trace", "e1")
    assert found["steps"][0]["error"]["cause"] == "RuntimeError: told to fail on e1"


def test_letters_of_handlers_that_are_not_loaded_are_named_and_left(
    run: CommandLine,
    pipeline: Letters,
    three: list[Event],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The rest is requeued, and the status says that it is not all."""
    monkeypatch.setenv("PIPELINE_HANDLERS", "handlers.appointments")
    done = run("dead", "requeue", "--all", "--yes")
    assert done.exit_code == Exit.PARTLY
    assert "3 left as they are" in done.stderr
    assert len(pipeline.letters()) == 3
    assert "not known" in run.text("dead", "show", "e1")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("requeue",), "say what to requeue"),
        (("discard", "--reason", "old"), "say what to discard"),
        (("discard", "e1"), "--reason"),
        (("discard", "e1", "--reason", " "), "takes 1 to 1,000 characters"),
        (("discard", "e1", "--reason", "x" * 1001), "takes 1 to 1,000 characters"),
        (("list", "--since", "yesterday"), "'yesterday' is no moment"),
        (("list", "--limit", "0"), "--limit"),
        (("requeue", "--all", "--limit", "0"), "--limit"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    run: CommandLine,
    pipeline: Letters,
    three: list[Event],
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    """With a sentence, and the status of wrong usage."""
    done = run("dead", *arguments)
    said = " ".join(done.stderr.split())
    assert (done.exit_code, sentence in said) == (Exit.USAGE, True), said
    assert len(pipeline.letters()) == 3


def test_nothing_that_matches_is_no_failure_of_a_filter(
    run: CommandLine, pipeline: Letters
) -> None:
    """A script may requeue whatever there is, every hour."""
    assert run.text("dead", "requeue", "--since", "1h") == "✓ no dead letters match"
    assert run.json("dead", "requeue", "--all", "--yes")["matching"] == 0


def test_the_status_names_dead_letters_and_where_to_look(
    run: CommandLine, pipeline: Letters, three: list[Event]
) -> None:
    """With the command."""
    assert "3 dead letters; to look at them: pipeline dead list" in run.text("status")
    pipeline.decisions.discard([letter.id for letter in pipeline.letters()], "old")
    assert "dead" not in run.text("status")


def test_the_commands_are_part_of_the_command_line(
    run: CommandLine, pipeline: Letters, three: list[Event]
) -> None:
    """As a process: what is printed is JSON alone, logs go elsewhere."""
    done = subprocess.run(
        [sys.executable, "-m", "workers", "dead", "requeue", "--all", "--yes", "--json"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=120,
    )
    assert json.loads(done.stdout)["requeued"] == 3
    pipeline.settle()
    assert pipeline.letters() == []


def test_the_help_teaches(run: CommandLine) -> None:
    """What a dead letter is, and examples."""
    assert "given up on" in run.text("dead", "--help")
    for command in ("list", "requeue", "discard"):
        assert f"pipeline dead {command}" in run.text("dead", command, "--help")
