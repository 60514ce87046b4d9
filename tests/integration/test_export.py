"""`pipeline export`: what it writes is what came, and is taken in again as it was."""

import gzip
import json
import random
import stat
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from pipeline.event import Event
from pipeline.store import Voided
from pipeline.store.traffic import Asked, Order, Traffic
from tests.facts import NOON, Document, fact, lose_payload
from tests.integration.command_line import CommandLine
from tests.integration.harness import NOW, Harness
from tests.processes import environment
from workers.cli import export as command
from workers.cli.context import Exit
from workers.ingest import ingest

STATUSES = ("open", "waiting", "closed")


@pytest.fixture
def run(command_line: Callable[..., CommandLine]) -> CommandLine:
    """Give the command line on real servers."""
    return command_line(command, prefix=("export",))


@pytest.fixture
def elsewhere(mongo: MongoClient[Document]) -> Iterator[Harness]:
    """Give a pipeline on another empty database."""
    name = f"test_{uuid.uuid4().hex}"
    yield Harness(mongo, name)
    mongo.drop_database(name)


def traffic(count: int, seed: int = 1) -> list[Event]:
    """Events of some tickets and tenants, in no order of their times."""
    draw = random.Random(seed)
    events = [
        fact(
            f"e{number}",
            draw.randrange(count),
            tenant=draw.choice(("acme", "zeta")),
            entity_id=f"T{draw.randrange(9)}",
            type=draw.choice(("ticket.changed", "page.viewed")),
            seq=draw.choice((None, number)),
            status=draw.choice(STATUSES),
            add=draw.randrange(5),
            page="start",
            **{"odd.key $": [None, 2**70, "ü\n"]},
        )
        for number in range(count)
    ]
    draw.shuffle(events)
    return events


def come(harness: Harness, events: Sequence[Event], at_once: int = 7) -> None:
    """Let events come, some in each call, each call a second after the one before."""
    for start in range(0, len(events), at_once):
        harness.process(*events[start : start + at_once])
        harness.clock.advance(timedelta(seconds=1))


def taken_in(harness: Harness, path: Path) -> int:
    """Ingest a file as the command does, run all of it, and say how many events were new."""
    total = ingest(
        harness.dispatcher,
        harness.clock,
        harness.settings,
        path,
        on_bad_line=lambda line: pytest.fail(str(line)),
        on_progress=lambda _done, _share: None,
    )
    harness.drain()
    return total.accepted


def lines(path: Path) -> list[Document]:
    """What a file holds."""
    opening = gzip.open if path.suffix == ".gz" else open
    with opening(path, "rb") as file:
        return [json.loads(line) for line in file]


def ids(path: Path) -> list[str]:
    """The events' ids, line by line."""
    return [line["event_id"] for line in lines(path)]


def stored(harness: Harness) -> list[tuple[Document, bytes | None]]:
    """Envelopes and payloads, byte by byte, in the order of arrival."""
    told = Traffic(harness.store.database).events(Asked(NOW + timedelta(days=9999)))
    return [(event.envelope, event.payload) for event in told]


def test_large_payloads_are_written_as_small_ones_are(
    run: CommandLine, harness: Harness, tmp_path: Path
) -> None:
    """Wherever they stand."""
    come(harness, [fact("e1"), fact("e2", remark="long " * 300), fact("e3", remark="short")])
    assert run.json(str(tmp_path / "a.ndjson"))["events"] == 3
    told = {line["event_id"]: line["payload"] for line in lines(tmp_path / "a.ndjson")}
    assert told == {"e1": {}, "e2": {"remark": "long " * 300}, "e3": {"remark": "short"}}


@pytest.mark.parametrize("name", ["traffic.ndjson", "traffic.ndjson.gz"])
def test_what_is_written_is_taken_in_as_the_same_events_with_the_same_tables(
    run: CommandLine, harness: Harness, elsewhere: Harness, tmp_path: Path, name: str
) -> None:
    """Every byte of every payload, every field of every envelope, and the order of arrival."""
    events = traffic(200)
    come(harness, events)
    told = run.json(str(tmp_path / name))
    assert (told["events"], told["expired"], told["undone"], told["copies"]) == (200, 0, 0, 0)
    assert ids(tmp_path / name) == [event.event_id for event in events]
    assert taken_in(elsewhere, tmp_path / name) == 200
    assert stored(elsewhere) == stored(harness)
    assert elsewhere.domain() == harness.domain()
    filled = {name for name, documents in harness.domain().items() if documents}
    assert filled > {"tickets", "tickets_changes", "owner_totals"}


def test_lines_come_in_the_order_of_event_time_where_asked_for(
    run: CommandLine, harness: Harness, tmp_path: Path
) -> None:
    """Then of numbers, then of keys: the order in which events are folded."""
    events = [*traffic(60), fact("x", 5, seq=10), fact("y", 5, seq=9), fact("z", 5)]
    come(harness, events)
    run.json(str(tmp_path / "a.ndjson"), "--order", "event")
    in_order = sorted(events, key=lambda event: event.order)
    assert ids(tmp_path / "a.ndjson") == [event.event_id for event in in_order]


def test_filters_hold_together(run: CommandLine, harness: Harness, tmp_path: Path) -> None:
    """Tenant, types with any text, and time of receipt, or of the event where that orders."""
    events = traffic(80)
    come(harness, events, at_once=10)
    number = iter(range(99))

    def asked(*arguments: str) -> list[str]:
        path = tmp_path / f"{next(number)}.ndjson"
        run.json(str(path), *arguments)
        return ids(path)

    def these(wanted: Callable[[Event], bool]) -> list[str]:
        return [event.event_id for event in events if wanted(event)]

    assert asked("--tenant", "acme") == these(lambda e: e.tenant == "acme")
    assert asked("--type", "ticket.*") == these(lambda e: e.type == "ticket.changed")
    assert len(asked("--type", "ticket.*", "--type", "*.viewed")) == 80
    assert asked("--tenant", "zeta", "--type", "page.viewed") == these(
        lambda e: (e.tenant, e.type) == ("zeta", "page.viewed")
    )
    received = (NOW + timedelta(seconds=n) for n in (2, 4))
    since, until = (moment.isoformat() for moment in received)
    assert asked("--since", since, "--until", until) == these(lambda e: e in events[20:40])
    begin, end = NOON + timedelta(minutes=20), NOON + timedelta(minutes=50)
    times = ("--since", begin.isoformat(), "--until", end.isoformat())
    found = asked(*times, "--order", "event")
    assert sorted(found) == sorted(these(lambda e: begin <= e.occurred_at < end))
    nothing = run(str(tmp_path / "none"), "--type", "ticket")
    assert (nothing.exit_code, "no event matches" in nothing.stderr) == (Exit.FAILED, True)
    assert not (tmp_path / "none").exists()


def test_what_has_lost_its_payload_is_counted_and_not_guessed(
    run: CommandLine, harness: Harness, database: Database[Document], tmp_path: Path
) -> None:
    """The rest is written, and the exit status says that it is a part."""
    come(harness, [fact("e1"), fact("e2"), fact("e3")])
    lose_payload(database, fact("e2").key)
    done = run(str(tmp_path / "a.ndjson"), "--json")
    assert done.exit_code == Exit.PARTLY
    told = json.loads(done.stdout)
    assert (told["events"], told["expired"]) == (2, 1)
    assert ids(tmp_path / "a.ndjson") == ["e1", "e3"]
    said = run(str(tmp_path / "b.ndjson"))
    assert "1 events are left out: their payloads are stored no longer" in said.stderr


def test_what_was_undone_is_left_out_unless_asked_for(
    run: CommandLine, harness: Harness, tmp_path: Path
) -> None:
    """Taken in again it would come to life."""
    come(harness, [fact("e1"), fact("e2")])
    harness.store.records.events.void(fact("e2").key, Voided(NOW, "ann", "wrong"))
    told = run.json(str(tmp_path / "a.ndjson"))
    assert (told["events"], told["undone"]) == (1, 1)
    assert run.json(str(tmp_path / "b.ndjson"), "--undone")["events"] == 2
    harness.store.records.events.void(fact("e1").key, Voided(NOW, "ann", "wrong"))
    assert "2 that were undone" in run(str(tmp_path / "c.ndjson")).stderr


def test_what_was_sent_again_stands_there_once_and_is_told(
    run: CommandLine, harness: Harness, tmp_path: Path
) -> None:
    """Copies are no traffic that could be made again: when they came is not known."""
    come(harness, [fact("e1"), fact("e2")])
    harness.process(fact("e1"))
    harness.process(fact("e1"))
    assert run.json(str(tmp_path / "a.ndjson"))["copies"] == 2
    assert "2 copies had come of these" in run.text(str(tmp_path / "b.ndjson"))


def test_under_pseudonyms_no_name_is_left_and_it_is_taken_in_all_the_same(
    run: CommandLine, harness: Harness, elsewhere: Harness, tmp_path: Path
) -> None:
    """As many documents as before, and twice the same file from the same seed."""
    events = traffic(60)
    come(harness, [*events, fact("secret-7", 99, status="sealed", owner="Ann", points=4)])
    first, second, third = (tmp_path / f"{name}.ndjson.gz" for name in "abc")
    for path, seed in ((first, "s1"), (second, "s1"), (third, "s2")):
        run.json(str(path), "--pseudonyms", seed, "--keep", "status", "--drop", "owner")
    assert first.read_bytes() == second.read_bytes() != third.read_bytes()
    text = gzip.decompress(first.read_bytes()).decode()
    assert not [word for word in ("secret", "acme", "zeta", '"T1"', "Ann", "owner") if word in text]
    assert "sealed" in text
    assert taken_in(elsewhere, first) == 61
    here, there = harness.domain(), elsewhere.domain()
    assert {name: len(rows) for name, rows in here.items() if name.startswith("tickets")} == {
        name: len(rows) for name, rows in there.items() if name.startswith("tickets")
    }


def test_a_field_can_be_dropped_and_all_else_stays(
    run: CommandLine, harness: Harness, tmp_path: Path
) -> None:
    """Without pseudonyms ids are those that came."""
    come(harness, [fact("e1", status="open", note="secret")])
    run.json(str(tmp_path / "a.ndjson"), "--drop", "note")
    (line,) = lines(tmp_path / "a.ndjson")
    assert (line["event_id"], line["payload"]) == ("e1", {"status": "open"})


def test_a_file_is_whole_or_absent_for_its_owner_only_and_never_overwritten(
    run: CommandLine, harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever happens on the way."""
    come(harness, [fact("e1"), fact("e2")])
    path = tmp_path / "a.ndjson"
    run.json(str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = run(str(path))
    assert (again.exit_code, "is there already" in again.stderr) == (Exit.USAGE, True)
    missing = run(str(tmp_path / "nowhere" / "a.ndjson"))
    assert (missing.exit_code, "can't be written" in missing.stderr) == (Exit.USAGE, True)

    def full(*_arguments: Any, **_options: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(command, "export", full)
    done = run(str(tmp_path / "b.ndjson"))
    assert (done.exit_code, "No space left" in done.stderr) == (Exit.USAGE, True)
    assert [one.name for one in tmp_path.iterdir()] == ["a.ndjson"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("-", "--json"), "name a file"),
        (("a", "--keep", "status"), "goes with it"),
        (("a", "--pseudonyms", ""), "an empty one is none"),
        (("a", "--tenant", "no/name"), "is no name"),
        (("a", "--since", "soon"), "is no moment"),
    ],
)
def test_what_makes_no_sense_is_refused(
    run: CommandLine, arguments: tuple[str, ...], sentence: str
) -> None:
    """With a sentence, and the status of wrong usage."""
    done = run(*arguments)
    assert done.exit_code == Exit.USAGE
    assert sentence in " ".join(done.output.split())


def test_lines_go_to_standard_output_and_nothing_else_does(
    harness: Harness, database: Database[Document], mongo_url: str, redis_url: str
) -> None:
    """As a process: what is told besides goes to standard error."""
    come(harness, [fact("e1"), fact("e2")])
    done = subprocess.run(
        [sys.executable, "-m", "workers", "export", "-"],
        env=environment(mongo_url, redis_url, database=database.name),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert [json.loads(line)["event_id"] for line in done.stdout.splitlines()] == ["e1", "e2"]
    assert "2 events written" in " ".join(done.stderr.split())


def test_events_that_come_meanwhile_are_not_in_it(harness: Harness) -> None:
    """Else the longest copy would never end."""
    come(harness, [fact("e1")])
    now = harness.clock.now()
    harness.clock.advance(timedelta(seconds=1))
    come(harness, [fact("e2")])
    told = Traffic(harness.store.database)
    assert told.count(Asked(now)) == 1
    assert [one.envelope["event_id"] for one in told.events(Asked(now, Order.EVENT))] == ["e1"]
