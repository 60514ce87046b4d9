"""A worker stopped by SIGSTOP for longer than its lease, and continued."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from pipeline.store.policies import LockPolicies, Scope
from tests.facts import fact
from tests.faults import waiting_handlers
from tests.integration.harness import NOW
from tests.processes import environment_of
from workers.bootstrap import Application

LEASE_MS = 1000
PATIENCE = 60
LATER = NOW + timedelta(days=3650)


@pytest.fixture
def app(application_of: Callable[..., Application]) -> Application:
    """Give an application whose leases of ids last a second."""
    app = application_of(waiting_handlers)
    policies = LockPolicies(app.store.database)
    policies.change(Scope(None, None), {"ttl_ms": LEASE_MS, "wait_ms": 0}, app.clock.now())
    return app


def wait_for(fact: Callable[[], object]) -> None:
    """Wait until it is so."""
    end = time.monotonic() + PATIENCE
    while not fact():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def paused(app: Application, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Give a worker process that is stopped in the middle of its handler, and its file."""
    hold = tmp_path / "hold"
    hold.touch()
    worker = subprocess.Popen(
        [sys.executable, "-m", "workers", "worker", "--name", "paused"],
        env=environment_of(app) | {waiting_handlers.HOLD: str(hold)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        app.dispatcher.submit([fact("e1", 1, type="note.made", hold=True)])
        wait_for(Path(f"{hold}.seen").exists)
        worker.send_signal(signal.SIGSTOP)
        wait_for(lambda: psutil.Process(worker.pid).status() == psutil.STATUS_STOPPED)
        yield worker, hold
    finally:
        worker.send_signal(signal.SIGCONT)
        worker.kill()
        worker.wait()


def test_it_does_not_overwrite_what_others_wrote_meanwhile(
    app: Application, paused: tuple[subprocess.Popen[bytes], Path]
) -> None:
    """Its snapshot is old and its fence is low: it begins again, on what is there now."""
    worker, hold = paused
    app.dispatcher.submit([fact("e2", 2, type="note.made")])
    batches = app.store.records.batches
    with app.executor("other") as other:

        def done() -> int:
            (due,) = [b for b in batches.due(LATER, 10) if b.events[0].startswith("e2@")]
            return other.run([due]).done

        # Busy until the lease of the stopped worker is over.
        wait_for(done)
    between = app.store.records.table("notes").get(["acme:T1"])["acme:T1"]
    assert between["seen"] == ["e2"]
    hold.unlink()
    worker.send_signal(signal.SIGCONT)
    wait_for(batches.idle)
    note = app.store.records.table("notes").get(["acme:T1"])["acme:T1"]
    assert (note["last"], note["seen"]) == ("e2", ["e1", "e2"])
    assert note["_sync"]["fence"] > between["_sync"]["fence"]
    (row,) = app.store.records.ledger.of_event("e1@acme/desk")
    assert (row.state.value, row.attempt) == ("done", 1)
