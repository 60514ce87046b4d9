"""Each subject of the comparison does the same work, right, with two worker processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import psutil
import pytest
import redis
from pymongo.database import Database

from benchmarks import flights, oracle
from benchmarks.bench import Bench
from benchmarks.peers import work
from benchmarks.peers.bullmq import BullMq
from benchmarks.peers.checking import check
from benchmarks.peers.limit import Limit
from benchmarks.peers.measure import measure
from benchmarks.peers.ours import Ours
from benchmarks.peers.peer import Peer, Session
from benchmarks.peers.place import Place
from benchmarks.peers.processes import PeerEndedError
from benchmarks.peers.rq_plain import SIMPLE
from benchmarks.peers.subjects import SUBJECTS, subject_of
from benchmarks.results import PIPELINE, Load, Reliability, Run
from benchmarks.spec import Spec
from benchmarks.workload import Workload
from pipeline import Event
from pipeline.settings import Settings
from pipeline.tables import CODEC
from tests.acceptance.conftest import wait_for
from workers.bootstrap import Servers

pytestmark = pytest.mark.uncounted

Document = dict[str, Any]

FLIGHTS: Final = 20
SINGLE: Final = 3
"""So many of their events are handed over one by one."""
QUEUES: Final = [peer for peer in SUBJECTS if not isinstance(peer, Ours | Limit)]
OF_THE_RUN: Final = ("begun_at", "done_at", "worker", "changed_at")


def runnable(peer: Peer) -> Peer:
    """Skip, with its own word for it, where a subject can't be run here."""
    reason = peer.missing()
    if reason is not None:
        pytest.skip(reason)
    return peer


@pytest.fixture(scope="module")
def events() -> list[Event]:
    """Give the events of the first flights, in the order of their times."""
    try:
        path = flights.data_file()
    except flights.FlightsMissingError as error:
        pytest.skip(str(error))
    return list(flights.stream(path, FLIGHTS))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give one folder for all, so that what npm brings is brought once."""
    return tmp_path_factory.mktemp("peers")


@pytest.fixture
def aware(database: Database[Document]) -> Database[Document]:
    """Give the test's database, whose moments come back aware."""
    return database.with_options(codec_options=CODEC)


@pytest.fixture
def bench(mongo_url: str, redis_url: str, redis_server: redis.Redis, folder: Path) -> Bench:
    """Give the session's servers to be measured on."""
    return Bench(Settings(data_dir=folder), Servers(mongo_url, redis_url))


@pytest.fixture
def place(aware: Database[Document], bench: Bench, folder: Path) -> Place:
    """Give a place on the test's database."""
    return Place(bench.where, aware.name, folder)


def all_done(session: Session, wanted: int) -> Callable[[], bool]:
    """Tell whether so many events are done, while the session is tended."""

    def told() -> bool:
        session.tend()
        return session.done() >= wanted

    return told


def work_off(peer: Peer, place: Place, events: list[Event]) -> Session:
    """Run a subject on the events, the last ones handed over singly; returns it, ended."""
    with peer.running(place, 2) as session:
        started = [*session.pids().values()]
        started += [
            child.pid for pid in started for child in psutil.Process(pid).children(recursive=True)
        ]
        session.submit(events[:-SINGLE])
        for event in events[-SINGLE:]:
            session.submit_one(event)
        wait_for(all_done(session, len(events)), "all events are done")
        moments = session.moments()
        assert moments.began.keys() == moments.committed.keys() == {e.key for e in events}
    assert not any(psutil.pid_exists(pid) for pid in started)
    return session


@pytest.mark.parametrize("peer", SUBJECTS, ids=lambda peer: peer.name)
def test_a_subject_does_the_work_right_and_leaves_nothing_behind(
    peer: Peer,
    place: Place,
    aware: Database[Document],
    events: list[Event],
    redis_server: redis.Redis,
) -> None:
    """Two ways to recalculate agree with its tables; its processes and keys are gone."""
    work_off(runnable(peer), place, events)

    checked = check(aware, events)
    assert checked.right, checked.faults
    tables = oracle.expected_tables(flights.data_file(), FLIGHTS)
    assert appointments(aware) == {
        document["_id"]: document for document in tables.documents("rs_appointments")
    }
    assert conversions(aware) == list(tables.documents("rs_lead_global_conversions"))
    if peer.name == PIPELINE:
        # Not even a verification that the sweeper has begun meanwhile.
        assert not redis_server.keys("rq:*")
    if peer in QUEUES:
        assert not redis_server.keys(f"*{place.database}*")
        ensure_as_if_done_alone(aware, events)


def appointments(database: Database[Document]) -> dict[str, Document]:
    """Read what the oracle knows of appointments, without zones, as it has them."""
    fields = {"status": 1, "lead": 1, "channel": 1, "starts_at": 1}
    table = database["rs_appointments"].with_options(codec_options=oracle.NAIVE)
    return {document["_id"]: document for document in table.find({}, fields)}


def conversions(database: Database[Document]) -> list[Document]:
    """Read what was counted, as flat as the oracle has it."""
    table = database["rs_lead_global_conversions"].with_options(codec_options=oracle.NAIVE)
    found = []
    for document in table.find({}, {"_sync": 0}).sort("_id"):
        counted = {f"outcomes.{name}": count for name, count in document.pop("outcomes").items()}
        found.append(document | counted)
    return found


def ensure_as_if_done_alone(database: Database[Document], events: list[Event]) -> None:
    """Compare with the five writes done one event after the other, in this process.

    So a queue loses, adds and changes nothing, and the work in JavaScript is that in Python.
    """
    alone = database.client.get_database(f"{database.name}_alone", codec_options=CODEC)
    try:
        for event in events:
            work.perform(alone, work.message(event))
        for table in work.TABLES:
            assert kept(database, table) == kept(alone, table)
    finally:
        database.client.drop_database(alone.name)


def kept(database: Database[Document], table: str) -> dict[str, Document]:
    """Read documents without what differs from run to run, and from order to order."""
    of_the_order = ("before",) if table == work.CHANGES else ()
    return {
        document["_id"]: {
            name: value
            for name, value in document.items()
            if name not in (*OF_THE_RUN, *of_the_order)
        }
        for document in database[table].find()
    }


def run_of(bench: Bench, spec: Spec, **options: float) -> Run:
    """Make a run as a scenario does."""
    return Run(scenario="peers", **measure(bench, spec, lambda _what, _done: None, **options))


def test_bulk_is_measured_and_checked(bench: Bench, events: list[Event]) -> None:
    """A run has its rate, its processes, its cost, and that nothing was lost or doubled."""
    run = run_of(bench, Spec(subject=SIMPLE.name, workload=Workload(events=60)))
    assert (run.subject, run.load, run.workers) == ("rq-simple-worker", Load.BULK, 2)
    assert run.events == run.sent == 60
    assert run.per_second == pytest.approx(60 / run.seconds)
    assert run.reliability == Reliability(lost=0, doubled=0, wrong=0)
    usage = {one.process: one for one in run.usage}
    assert set(usage) == {"rq-simple-worker-1", "rq-simple-worker-2", "sender"}
    assert all(one.cpu_seconds > 0 and one.rss_mib_max > 0 for one in run.usage)
    assert run.cost.mongodb_operations["update"] >= 3 * 60
    assert run.cost.redis_commands >= 60
    assert Run.model_validate_json(run.model_dump_json()) == run


@pytest.mark.parametrize("subject", [PIPELINE, "limit", "dramatiq", "taskiq", "bullmq"])
def test_single_events_are_measured_from_when_they_were_due(
    subject: str, bench: Bench, events: list[Event]
) -> None:
    """Every one of them is in the distributions, and waiting and running make up the whole."""
    runnable(subject_of(subject))
    workload = Workload(events=40)
    run = run_of(bench, Spec(subject=subject, workload=workload, load=Load.OPEN, per_second=20))
    assert run.reliability == Reliability(lost=0, doubled=0, wrong=0)
    assert (run.events, run.offered_per_second) == (40, 20)
    found = run.latency
    assert found is not None
    assert found.wait is not None
    assert found.run is not None
    assert found.wait.count == found.run.count == found.end_to_end.count == 40
    # Each of the three is cut at zero and rounded for itself.
    assert found.wait.mean + found.run.mean == pytest.approx(found.end_to_end.mean, abs=2.0)


def test_events_sent_twice_are_done_once(bench: Bench, events: list[Event]) -> None:
    """Rates count what was sent; what was kept is compared with the different ones."""
    run = run_of(
        bench, Spec(subject=SIMPLE.name, workload=Workload(events=60, duplicates=0.5, late=0.2))
    )
    assert run.events == 60
    assert run.sent > 70
    assert run.reliability.doubled == run.reliability.lost == 0


def test_what_a_slow_subject_does_not_get_done_is_told(
    bench: Bench, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends when its time is over, and its rate is that of what was done."""
    monkeypatch.setattr("benchmarks.peers.measure.LINGER_SECONDS", 0.0)
    spec = Spec(
        subject=SIMPLE.name, workload=Workload(events=600), load=Load.OPEN, per_second=10_000
    )
    run = run_of(bench, spec)
    assert run.sent == run.events < 600
    assert run.backlog > 0
    assert run.reliability.lost is None
    assert any(f"{600 - run.events} of 600 events were not done" in note for note in run.notes)
    assert run.latency is not None
    assert run.latency.end_to_end.count == 600


def test_a_slow_subject_is_given_fewer_events(bench: Bench, events: list[Event]) -> None:
    """As many as it does in half of its time, and that is told."""
    spec = Spec(subject=SIMPLE.name, workload=Workload(events=600))
    run = run_of(bench, spec, patience=4.0)
    assert f"given {int(SIMPLE.least_per_second * 2)} of 600 events" in " ".join(run.notes)


def test_a_subject_that_nobody_knows_is_refused(bench: Bench) -> None:
    """With the names of those there are; and so are events that can't be compared."""
    with pytest.raises(ValueError, match="rq-simple-worker"):
        run_of(bench, Spec(subject="kafka"))
    with pytest.raises(ValueError, match="flights"):
        run_of(bench, Spec(subject=SIMPLE.name, workload=Workload(source="synthetic")))


def test_a_worker_that_ends_by_itself_is_told(place: Place) -> None:
    """Whoever waits for it finds out, with its name."""
    with SIMPLE.running(place, 1) as session:
        (pid,) = session.pids().values()
        os.kill(pid, signal.SIGKILL)
        psutil.wait_procs([psutil.Process(pid)], timeout=30)
        with pytest.raises(PeerEndedError, match="rq-simple-worker-1"):
            session.tend()


def test_a_subject_whose_program_is_missing_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without Node there is no BullMQ, and a sentence."""
    monkeypatch.setenv("PATH", "")
    assert BullMq().missing() == "Node is missing; on Debian or Ubuntu: apt-get install nodejs npm"
