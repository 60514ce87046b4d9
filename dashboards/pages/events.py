"""Events: those that came last, and the timeline of one."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Form, Query
from fastapi.responses import RedirectResponse, Response

from dashboards.access import Role
from dashboards.console import ADMINS, TheConsole, TheVisit
from dashboards.web.rendering import Link
from dashboards.web.words import as_path
from pipeline.beside import beside
from pipeline.errors import PipelineError
from pipeline.timeline import timelines
from pipeline.undo import key_of

LINK: Final = Link("/ops/events", "Events", "e")
SHOWN: Final = 50
SEARCHED: Final = 2_000
"""Events among which a filter is looked for."""

router = APIRouter()


@router.get("/ops/events")
def newest(
    console: TheConsole,
    visit: TheVisit,
    tenant: Annotated[str, Query(max_length=64)] = "",
    type: Annotated[str, Query(max_length=128)] = "",  # noqa: A002 - the name in the address
) -> Response:
    """The events stored last, of a tenant and a type where these are given."""
    among = SEARCHED if tenant or type else SHOWN
    records = console.app.store.records.events.newest(among).values()
    matching = [
        record
        for record in records
        if tenant in ("", record.event.tenant) and type in ("", record.event.type)
    ]
    return console.render(
        "events.html",
        visit,
        records=matching[:SHOWN],
        among=among,
        full=len(records) == among,
        tenant=tenant,
        type=type,
    )


@router.get("/ops/undo", dependencies=[ADMINS])
def rehearse(
    console: TheConsole, visit: TheVisit, event: Annotated[str, Query(max_length=400)]
) -> Response:
    """What an undo of the event would change."""
    key = key_of(console.app.store, event)
    undone = console.desk.rehearse_undo(key)
    return console.render("undo.html", visit, key=key, undone=undone)


@router.get("/ops/events/{key:path}")
def one(
    console: TheConsole,
    visit: TheVisit,
    key: str,
    against: Annotated[str, Query(max_length=400)] = "",
) -> Response:
    """One event from its receipt to what it wrote, and what may be done about it.

    Its payload is held against that of the event before it, or of the one that is named.
    """
    store, payload = console.app.store, visit.may(Role.OPERATOR)
    found = timelines(store, console.app.registry, key)
    events = [one.trace.record.event for one in found] if payload else []
    return console.render(
        "event.html",
        visit,
        found=found,
        payload=payload,
        against=against.strip(),
        besides={event.key: beside(store, event, against.strip()) for event in events},
    )


@router.post("/ops/dead/requeue")
def requeue(console: TheConsole, visit: TheVisit, letter: Annotated[str, Form()]) -> Response:
    """Put one dead letter back to work."""
    console.desk.requeue(visit.who, [letter])
    return _back(letter)


@router.post("/ops/dead/discard")
def discard(
    console: TheConsole,
    visit: TheVisit,
    letter: Annotated[str, Form()],
    reason: Annotated[str, Form(max_length=1000)],
) -> Response:
    """Give one dead letter up for good."""
    console.desk.discard(visit.who, [letter], reason)
    return _back(letter)


@router.post("/ops/undo", dependencies=[ADMINS])
def undo(
    console: TheConsole,
    visit: TheVisit,
    event: Annotated[str, Form()],
    reason: Annotated[str, Form(max_length=1000)],
) -> Response:
    """Take an event back."""
    console.desk.undo(visit.who, event, reason)
    return _event(event)


@router.post("/ops/redo", dependencies=[ADMINS])
def redo(console: TheConsole, visit: TheVisit, event: Annotated[str, Form()]) -> Response:
    """Bring an event back that was undone."""
    console.desk.redo(visit.who, event)
    return _event(event)


def _back(letter: str) -> Response:
    event, bar, _ = letter.rpartition("|")
    if not bar:
        raise PipelineError(f"{letter!r} names no dead letter")
    return _event(event)


def _event(key: str) -> Response:
    return RedirectResponse(f"/ops/events/{as_path(key)}", 303)
