"""Repairing: undo and redo of an event, verifications, and what came out of order."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from pydantic import AwareDatetime, BaseModel, Field

from dashboards.access import Role
from dashboards.console import ADMINS, TheConsole, TheVisit
from pipeline.disorder import Mark
from pipeline.lateness import as_json as finding_json
from pipeline.lateness import cost_json, count_json, find
from pipeline.slots import Part
from pipeline.store import Among, Spot
from pipeline.undo import as_json as undone_json
from pipeline.undo import key_of
from pipeline.verification import report_of

router = APIRouter(tags=["repairing"])


class Undo(BaseModel):
    """An event, and why it is taken back."""

    event: Annotated[str, Field(min_length=1, max_length=400)]
    reason: Annotated[str, Field(min_length=1, max_length=1000)]


class Redo(BaseModel):
    """An event that was undone."""

    event: Annotated[str, Field(min_length=1, max_length=400)]


class Verify(BaseModel):
    """What is to be looked at, and whether what is wrong is put right."""

    part: Annotated[str, Field(max_length=12)] | None = None
    repairs: bool = False


class Late(BaseModel):
    """Which events are meant; all that is given must hold. And which of them are listed."""

    tenant: str | None = None
    handler: str | None = None
    mark: Mark | None = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    limit: Annotated[int, Field(ge=1, le=500)] = 50
    after_time: AwareDatetime | None = None
    after_id: str | None = None


@router.get("/undo", dependencies=[ADMINS])
def rehearse(console: TheConsole, event: str) -> dict[str, Any]:
    """What an undo of this event would change; nothing is."""
    return undone_json(console.desk.rehearse_undo(key_of(console.app.store, event)))


@router.post("/undo", dependencies=[ADMINS])
def undo(console: TheConsole, visit: TheVisit, asked: Undo) -> dict[str, Any]:
    """Take an event back."""
    key = key_of(console.app.store, asked.event)
    return undone_json(console.desk.undo(visit.who, key, asked.reason))


@router.post("/redo", dependencies=[ADMINS])
def redo(console: TheConsole, visit: TheVisit, asked: Redo) -> dict[str, Any]:
    """Bring an event back that was undone."""
    redone = console.desk.redo(visit.who, key_of(console.app.store, asked.event))
    return {"done": redone.done, "handlers": redone.handlers, "requeued": redone.requeued}


@router.post("/verifications", status_code=202)
def verify(console: TheConsole, visit: TheVisit, asked: Verify) -> dict[str, str]:
    """Begin a verification; putting right what is wrong needs an admin."""
    if asked.repairs and not visit.may(Role.ADMIN):
        raise HTTPException(403, "this needs the role admin; nothing was changed")
    part = None if asked.part is None else Part.parse(asked.part)
    return {"name": console.desk.verify(visit.who, part, repairs=asked.repairs)}


@router.get("/verifications/{name}")
def verification(
    console: TheConsole, name: str, limit: Annotated[int, Query(ge=1, le=10_000)] = 100
) -> dict[str, Any]:
    """What a verification came to, so far or in the end."""
    return report_of(console.app.store, name, limit=limit).as_json()


@router.get("/late")
def late(console: TheConsole, asked: Annotated[Late, Query()]) -> dict[str, Any]:
    """What came out of order, those applied last first; the next page begins after `after`."""
    spot = None
    if asked.after_time is not None and asked.after_id is not None:
        spot = Spot(asked.after_time, asked.after_id)
    among = Among(asked.tenant, asked.handler, asked.mark, asked.since, asked.until)
    page = find(console.app.store, among, limit=asked.limit, after=spot)
    place = page.after
    return {
        "events": [finding_json(finding) for finding in page.findings],
        "after": {"after_time": place.write_at, "after_id": place.id} if place else None,
    }


@router.get("/late/counts")
def counted(console: TheConsole) -> dict[str, Any]:
    """How many came out of order, and what holding back has cost, by tenant and handler."""
    seen = console.disorder.now()
    counts, costs = seen.value
    return {
        "counts": [count_json(count) for count in counts],
        "costs": [cost_json(cost) for cost in costs],
        "age": round(seen.age, 3),
    }
