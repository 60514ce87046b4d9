"""A worker killed between any two steps of the executor: the tables come out the same."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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
    mongo: MongoClient[Document], application_of: Callable[..., Application]
) -> Iterator[Application]:
    """Give an application whose leases are short, on a MongoDB that soon gives up transactions."""
    sample_handlers.broken.clear()
    before = mongo.admin.command("getParameter", 1, **{LIFETIME: 1})[LIFETIME]
    mongo.admin.command("setParameter", 1, **{LIFETIME: 1})
    yield application_of(sample_handlers, lease_seconds=2, rescue_after=1.0)
    mongo.admin.command("setParameter", 1, **{LIFETIME: before})


def die_at(app: Application, step: Step, number: int) -> None:
    """Let a worker process work until it is killed at the step."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.faults.crashing_worker", step, str(number)],
        env=environment_of(app, lease_seconds=2),
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
    events = story()
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
