"""The work of the comparison: what its five writes promise, and what its check finds."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psutil
import pytest
from pymongo.database import Database

from benchmarks.measuring import Commits, Sampler
from benchmarks.peers import work
from benchmarks.peers.checking import check
from benchmarks.peers.piped import Piped
from benchmarks.peers.processes import PeerEndedError, Processes
from benchmarks.peers.queue_session import event_marked_done
from pipeline import Event
from pipeline.tables import CODEC

Document = dict[str, Any]

MORNING: Final = datetime(2024, 5, 1, 8, tzinfo=UTC)
COURSE: Final = ("scheduled", "departed", "arrived")


def events_of(*appointments: str) -> list[Event]:
    """Make three events for each appointment, an hour apart."""
    return [
        Event(
            event_id=f"{name}-{number}",
            tenant="acme",
            source="desk",
            type=f"appointment.{status}",
            entity_id=name,
            occurred_at=MORNING + timedelta(hours=number),
            payload={"lead": f"lead of {name}", "channel": "web"}
            | ({} if number else {"starts_at": "2024-05-01T12:00:00+00:00"}),
        )
        for name in appointments
        for number, status in enumerate(COURSE)
    ]


@pytest.fixture
def aware(database: Database[Document]) -> Database[Document]:
    """Give the test's database, whose moments come back aware, with all collections."""
    aware = database.with_options(codec_options=CODEC)
    work.prepare(aware)
    return aware


def perform(database: Database[Document], events: list[Event]) -> None:
    """Do the work for each of the events."""
    for event in events:
        work.perform(database, work.message(event))


@pytest.mark.parametrize("seed", range(8))
def test_an_appointment_is_right_in_whatever_order_its_events_come(
    aware: Database[Document], seed: int
) -> None:
    """An older event fills in what is missing, and never undoes a newer one."""
    events = events_of("A", "B", "C")
    random.Random(seed).shuffle(events)
    perform(aware, events)
    checked = check(aware, events)
    assert checked.right, checked.faults


def test_an_event_that_is_done_is_not_done_again(aware: Database[Document]) -> None:
    """A queue that delivers it once more changes nothing."""
    events = events_of("A")
    perform(aware, events)
    before = {table: list(aware[table].find()) for table in work.TABLES}
    perform(aware, events)
    assert {table: list(aware[table].find()) for table in work.TABLES} == before


def test_an_attempt_cut_short_before_its_mark_counts_twice(aware: Database[Document]) -> None:
    """That is what at-least-once comes to here, as the peers' guarantees say; and it is found."""
    events = events_of("A")
    perform(aware, events)
    aware[work.EVENTS].update_one({"_id": events[0].key}, {"$unset": {"done_at": ""}})
    perform(aware, events)
    checked = check(aware, events)
    assert (checked.lost, checked.doubled) == (0, 1)
    assert any("was counted 2 times, not 1" in fault for fault in checked.faults)


def forget_event(database: Database[Document], key: str) -> None:
    """Lose an event itself."""
    database[work.EVENTS].delete_one({"_id": key})


def forget_change(database: Database[Document], key: str) -> None:
    """Lose an event's change row."""
    database[work.CHANGES].delete_one({"event": key})


def forget_count(database: Database[Document], _key: str) -> None:
    """Lose a count."""
    database[work.CONVERSIONS].update_one({}, {"$inc": {"outcomes.arrived": -1}})


@pytest.mark.parametrize("forget", [forget_event, forget_change, forget_count])
def test_what_is_lost_is_found(
    aware: Database[Document], forget: Callable[[Database[Document], str], None]
) -> None:
    """Of each event every part of its effect is looked for; one event is lost once."""
    events = events_of("A", "B")
    perform(aware, events)
    assert check(aware, events).right
    forget(aware, events[2].key)
    checked = check(aware, events)
    assert (checked.lost, checked.doubled) == (1, 0)
    assert not checked.right
    assert len(checked.faults) == 1


def test_a_second_row_a_wrong_field_and_a_stranger_are_found(aware: Database[Document]) -> None:
    """Each with a sentence that names it."""
    events = events_of("A", "B")
    perform(aware, events)
    aware[work.CHANGES].insert_one({"_id": "again", "event": events[0].key})
    aware[work.APPOINTMENTS].update_one({"_id": "acme:B"}, {"$set": {"status": "lost"}})
    aware[work.EVENTS].insert_one({"_id": "stranger"})
    checked = check(aware, events)
    assert (checked.lost, checked.doubled, checked.wrong) == (0, 1, 2)
    told = " ".join(checked.faults)
    assert f"{events[0].key} has 2 change rows" in told
    assert "appointment acme:B is" in told
    assert "stranger was never sent" in told


def test_the_operation_log_tells_when_each_event_was_marked_done(
    aware: Database[Document],
) -> None:
    """Its mark and nothing else; an event that is only begun has no moment."""
    events = events_of("A")
    commits = Commits(aware, work.EVENTS, event_marked_done)
    began = datetime.now(UTC) - timedelta(milliseconds=1)
    perform(aware, events[:2])
    work.record(aware, work.message(events[2]))
    moments = commits.last()
    assert moments.keys() == {events[0].key, events[1].key}
    assert began <= moments[events[0].key] <= moments[events[1].key] <= datetime.now(UTC)


NURSE: Final = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import os, time; os.setsid(); time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


def test_what_a_process_has_started_ends_with_it(tmp_path: Path) -> None:
    """Even in a session of its own, where no signal to the group reaches it."""
    processes = Processes(tmp_path)
    processes.start("nurse", [sys.executable, "-c", NURSE], dict(os.environ))
    log = tmp_path / "nurse.log"
    deadline = time.monotonic() + 60
    while not log.read_text().endswith("\n"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child = psutil.Process(int(log.read_text()))
    (nurse,) = map(psutil.Process, processes.pids().values())
    processes.stop()
    assert not nurse.is_running()
    assert not child.is_running()
    assert processes.pids() == {}


def test_a_process_fed_by_lines_answers_and_its_end_is_told(tmp_path: Path) -> None:
    """As an error that names its log, to whoever writes to it or reads from it."""
    echo = "import sys\nfor line in sys.stdin: print(line.strip()[::-1], flush=True)"
    command = [sys.executable, "-c", echo]
    process = Piped(command, tmp_path / "echo.log", dict(os.environ))
    try:
        process.send(b"abc")
        assert process.answer() == b"cba"
        long = b"x" * 1_000_000
        process.send(long)
        assert process.answer() == long
        process.check()
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(PeerEndedError, match=r"echo\.log"):
            process.answer()
        deadline = time.monotonic() + 60
        while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        with pytest.raises(PeerEndedError, match=r"echo\.log"):
            process.send(b"more")
    finally:
        process.stop()


PARENT: Final = """
import subprocess, sys
burn = "import time\\nwhile time.process_time() < 0.5: pass"
for _ in sys.stdin:
    subprocess.run([sys.executable, "-c", burn])
    print("burnt", flush=True)
"""


def test_what_a_child_took_that_has_ended_is_its_familys(tmp_path: Path) -> None:
    """A child lives too short to be sampled; who waited for it knows what it took."""
    command = [sys.executable, "-c", PARENT]
    process = Piped(command, tmp_path / "parent.log", dict(os.environ))
    try:
        pids = {"parent": process.pid}
        alone, family = Sampler(lambda: pids), Sampler(dict, families=lambda: pids)
        with alone, family:
            process.send(b"burn")
            assert process.answer() == b"burnt"
        (took_alone,), (took_together,) = alone.usage(), family.usage()
        assert took_together.cpu_seconds >= 0.5
        assert took_alone.cpu_seconds <= took_together.cpu_seconds - 0.45
        assert took_alone.rss_mib_max > 0
    finally:
        process.stop()
