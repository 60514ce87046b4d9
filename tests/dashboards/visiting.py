"""Addresses of pages, and what several tests of them do."""

import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from fastapi.testclient import TestClient

import dashboards
from dashboards.pages import PAGES
from pipeline.declarations import Lane
from pipeline.signatures import signature_of
from pipeline.store import Batch
from pipeline.verification import HANDLER, Verifier
from tests.dashboards.conftest import SCRIPT
from tests.integration.letters import Letters

HERE = Path(dashboards.__file__).parent
LETTER = "e0@acme/desk|tickets.apply"
EVENT = "/ops/events/e0%40acme%2Fdesk"
GROUP = "/ops/failed/group?handler=tickets.apply&error=RuntimeError"
CAUSE = f"{GROUP}&signature={quote('told to fail on e#')}"
SCRIPTED = f"{GROUP}&signature={quote(signature_of(f'told to fail on {SCRIPT}'))}"
ENTITY = "/ops/entities/acme/G"
DOCUMENT = "/ops/documents?table=tickets&key=acme:G"
FULL_OF_SCRIPTS = f"/ops/events/{quote(SCRIPT + '@acme/desk', safe='')}"


def every_page(pipeline: Letters) -> list[str]:
    """Addresses of all pages and parts of pages, with something on each."""
    parts = ["/ops/home/stages", "/ops/home/work", "/ops/home/notes", "/ops/home/course"]
    parts += [
        "/ops/audit/pins",
        *(f"/ops/queues/{part}" for part in ("lanes", "workers", "stalled", "depths")),
    ]
    found = [page.LINK.path for page in PAGES]
    found += ["/ops/search", f"/ops/search?q={quote(SCRIPT[:12])}", "/ops/search?q=acme:G"]
    found += [EVENT, FULL_OF_SCRIPTS, GROUP, "/ops/failed/group", "/ops/undo?event=good"]
    found += [CAUSE, SCRIPTED, "/ops/failed?show=open&handler=tickets.apply&tenant=acme"]
    found += [f"{EVENT}?against={quote(SCRIPT)}"]
    found += [
        ENTITY,
        f"/ops/entities/acme/{quote(SCRIPT, safe='')}",
        DOCUMENT,
        f"{DOCUMENT}&at=2025-01-01",
    ]
    found += [f"/ops/operations/{one.id}" for one in operations(pipeline)]
    return found + parts


def operations(pipeline: Letters) -> list:  # type: ignore[type-arg]
    """The operations that there are."""
    return pipeline.store.records.operations.newest(limit=10)


def wait_for(fact_: Callable[[], object]) -> None:
    """Wait for what another thread does, up to 20 seconds."""
    end = time.monotonic() + 20
    while not fact_():
        assert time.monotonic() < end
        time.sleep(0.02)


def verify(pipeline: Letters, name: str) -> None:
    """Do all units of a verification, as workers would."""
    verifier = Verifier(
        pipeline.store, pipeline.registry, pipeline.clock, pipeline.settings, worker="w"
    )
    kept = pipeline.store.records.verifications
    for _ in range(100):
        unit = next((one for one in kept.units(name) if not one.done), None)
        if unit is None:
            return
        verifier.run(Batch.of(HANDLER, [unit.id], Lane.REPAIR))
    raise AssertionError("it has no end")


def plan(client: TestClient, **asked: object) -> str:
    """Plan an operation by the form of a group; its page."""
    form = {"verb": "requeue", "handler": "tickets.apply", **asked}
    said = client.post("/ops/failed/plan", data=form)
    assert said.status_code == 303, said.text
    return said.headers["location"]
