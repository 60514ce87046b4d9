"""A worker killed between any two steps of the executor: the tables come out the same."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from pymongo import MongoClient

from pipeline.declarations import Lane
from pipeline.event import Event
from pipeline.executor import Step
from pipeline.queue import BatchWorker
from pipeline.replay import audit, compare, replay
from pipeline.reporting import report
from tests.facts import Document, fact
from tests.integration import sample_handlers
from tests.processes import environment_of
from workers.bootstrap import Application

LIFETIME = "transactionLifetimeLimitSeconds"
FOLD, OBSERVERS = 1, 2
PATIENCE = 60
HOUR = timedelta(hours=1)


@pytest.fixture
def app(
    mongo: MongoClient[Document], application_of: Callable[..., Application], take_along: int
) -> Iterator[Application]:
    """Give an application whose leases are short, on a MongoDB that soon gives up transactions."""
    sample_handlers.broken.clear()
    before = mongo.admin.command("getParameter", 1, **{LIFETIME: 1})[LIFETIME]
    mongo.admin.command("setParameter", 1, **{LIFETIME: 1})
    yield application_of(sample_handlers, lease_seconds=2, rescue_after=1.0, take_along=take_along)
    mongo.admin.command("setParameter", 1, **{LIFETIME: before})


@pytest.fixture
def take_along() -> int:
    """Give how many events a fold has at most that takes its observers along."""
    return 0


def die_at(app: Application, step: Step, number: int) -> None:
    """Let a worker process work until it is killed at the step."""
    where = environment_of(app, lease_seconds=2, take_along=app.settings.take_along)
    ended = subprocess.run(
        [sys.executable, "-m", "tests.faults.crashing_worker", step, str(number)],
        env=where,
        stdout=subprocess.DEVNULL,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL


def recover(app: Application) -> None:
    """Let a sweeper and a worker of ours do what is left."""
    sweeper = app.sweeper()
    with app.executor("rescuer") as executor:
        end = time.monotonic() + PATIENCE
        while not app.store.records.batches.idle():
            assert time.monotonic() < end
            sweeper.sweep()
            worker = BatchWorker(
                app.redis,
                name="rescuer",
                lanes=list(Lane),
                run=lambda batches: report(executor.run(batches)),
                room=500,
                heartbeats=app.heartbeats,
            )
            worker.work(burst=True, logging_level="CRITICAL")


def story() -> list[Event]:
    """Twelve events of four tickets, some of them late when they are sent in this order."""
    return [
        fact(
            f"e{n}",
            n * 5 % 12,
            entity_id=f"T{n % 4}",
            status=("open", "busy", "done")[n % 3],
            owner=("ann", "bob")[n % 2],
            add=n,
        )
        for n in range(12)
    ]


@pytest.mark.parametrize("number", [FOLD, OBSERVERS], ids=["fold", "observers"])
@pytest.mark.parametrize("step", list(Step))
def test_a_worker_killed_at_a_step_changes_nothing(
    app: Application, step: Step, number: int
) -> None:
    """Half the story is done before, so that the killed run has late events to heal."""
    kill_halfway(app, story(), step, number)


@pytest.mark.parametrize("take_along", [20], ids=["along"])
@pytest.mark.parametrize("step", list(Step))
def test_a_worker_killed_while_a_fold_takes_observers_along_changes_nothing(
    app: Application, step: Step
) -> None:
    """Either both are done, or neither; in order, since no late event takes them along."""
    events = sorted(story(), key=lambda event: event.order)
    kill_halfway(app, events, step, FOLD)
    rows = app.store.records.ledger.scan()
    jobs = {(row.event, row.handler): row.job for row in rows}
    runs = app.store.records.batches.every_run()
    fold, along = (runs[jobs[events[0].key, name]] for name in ("tickets.apply", "owners.count"))
    assert replace(fold, locked_at=None, fence=None) == along


def kill_halfway(app: Application, events: Sequence[Event], step: Step, number: int) -> None:
    """Kill a worker in the second half of what is submitted, and check what came of it."""
    app.dispatcher.submit(events[:6])
    recover(app)
    app.dispatcher.submit(events[6:])
    die_at(app, step, number)
    recover(app)
    expected = replay(app.registry, events)
    tables = {name: app.store.scan(name) for name in app.registry.tables()}
    found = compare(expected, tables)
    assert found.equal, str(found)
    rows = ((row.event, row.handler, row.state.value) for row in app.store.records.ledger.scan())
    effects = audit(app.registry, events, rows)
    assert effects.clean, str(effects)


def test_every_step_is_passed_in_its_order(app: Application) -> None:
    """What the steps are named for happens; none is missing from the list above."""
    passed: list[Step] = []
    app.dispatcher.submit(story())
    with app.executor("w", passed.append) as executor:
        (batch,) = app.store.records.batches.due(app.clock.now() + HOUR, 10)
        executor.run([batch])
    assert passed == list(Step)
